// What the operations answer beside records, as PROTOCOL.md words it. Entries may be added by newer servers.
import type { PoolPolicy, Policy, SessionRecord } from "./generated/operations.js";

/** What a write answers. */
export interface Written {
  /** the new version */
  version: number;
  /** milliseconds since the Unix epoch; 0 is never */
  expires_at: number;
}

export interface Patched extends Written {
  /** the results of incr */
  values?: Record<string, number>;
}

export interface Touched {
  /** milliseconds since the Unix epoch; 0 is never */
  expires_at: number;
}

/** A session that was handed out. */
export interface AcquiredRecord<Data = any> extends SessionRecord<Data> {
  /** the hand-out's number, to be given with its mark or release */
  use: number;
}

/** A page of a list. */
export interface SessionPage {
  sessions: SessionRecord[];
  /** give it to the next call; null: this was the last page */
  cursor: string | null;
  /** how many match; null: not known */
  total: number | null;
}

/** What a bearer token turned out to be. */
export interface Validation {
  valid: boolean;
  /** why not, such as "invalid_token"; beside valid: true only where the namespace reports mismatches */
  error: string | null;
  session: SessionRecord | null;
}

/** A new token and its session, or why there is none. */
export interface Rotation {
  token?: string;
  session?: SessionRecord;
  error?: string;
}

export interface NamespaceDescription {
  name: string;
  policy: Policy;
  /** living ones */
  sessions: number;
  /** of memory that they take */
  bytes: number;
  purging: Purging;
}

export interface Purging {
  enabled: boolean;
  interval_ms: number;
}

/** The sessions of a client, that is of a browser or device. */
export interface ClientSessions {
  id: string;
  /** the oldest first */
  sessions: SessionRecord[];
  last_active_session: string | null;
  default_session: string | null;
  created_at: number;
  updated_at: number;
}

export interface PoolDescription {
  name: string;
  policy: PoolPolicy;
  usable_count: number;
  retired_count: number;
  leased_count: number;
  cooling_count: number;
  /** places held for who was answered CREATE_NEEDED */
  held_count: number;
  /** calls that wait for a session */
  waiting_count: number;
}

export interface PoolState {
  usable_count: number;
  retired_count: number;
  sessions: SessionRecord[];
  cursor: string | null;
}

/** How a session of a pool stands after a mark. */
export interface Marked {
  usage_count: number;
  error_score: number;
  usable: boolean;
  retired: boolean;
}

/** A cookie's value whose signature is right. */
export interface Unsigned {
  value: string;
  /** of the secret that signed it; 0 is the newest */
  key_index: number;
}

/** What a server says of itself in its greeting. */
export interface Hello {
  server: string;
  version: number;
  namespace: string | null;
  /** the server's clock, milliseconds since the Unix epoch */
  now: number;
  features: string[];
  limits: Record<string, number>;
  methods: Record<string, number>;
}

export interface SnapshotRequest {
  number: number;
  newest_number: number;
  failures: number;
}
