// What tracers and loggers may listen to, over node:diagnostics_channel. Nothing is built while nobody listens, and no
// message holds arguments or answers: they may be secrets.
import { channel } from "node:diagnostics_channel";

/** {client, endpoint, server}: a connection stands and was greeted. */
export const connectChannel = channel("sessiond:connect");
/** {client, endpoint, error}: it was lost (error), or closed (no error). */
export const disconnectChannel = channel("sessiond:disconnect");
/** {client, method, id}: a call begins. `id` names the call in the messages that follow. */
export const requestStartChannel = channel("sessiond:request:start");
/** {client, method, id, durationMs}: it was answered. */
export const requestEndChannel = channel("sessiond:request:end");
/** {client, method, id, durationMs, error}: it failed. */
export const requestErrorChannel = channel("sessiond:request:error");
