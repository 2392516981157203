// Errors: one class for what the server refuses (with a subclass for each code, in generated/errors.ts), and one for
// each thing that goes wrong on this side. All have a code that never changes and a sentence that says what to do.

/** What is known beside the sentence. */
export interface ErrorDetails {
  /** the version that the record has, or had */
  version?: number;
  /** what became of the session */
  status?: string;
  /** the limit that was reached, in bytes, elements or sessions */
  limit?: number;
  /** when to try again */
  retry_after_ms?: number;
  [key: string]: unknown;
}

/** Every error of this package. */
export class SessiondError extends Error {
  /** A word that never changes: the server's, or CONNECTION, TIMEOUT, PROTOCOL, URL, ARGUMENT, OVERLOADED, CLOSED. */
  readonly code: string;
  /** Whatever else the server said. */
  readonly details: ErrorDetails;
  /** Of a write: it is not known whether the server executed it. */
  readonly mayHaveExecuted: boolean;

  constructor(
    code: string,
    message: string,
    extra: { details?: ErrorDetails; cause?: unknown; mayHaveExecuted?: boolean } = {},
  ) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.details = extra.details ?? {};
    this.mayHaveExecuted = extra.mayHaveExecuted ?? false;
  }

  override get name(): string {
    return "SessiondError";
  }

  get version(): number | undefined {
    return this.details.version;
  }

  get status(): string | undefined {
    return this.details.status;
  }

  get limit(): number | undefined {
    return this.details.limit;
  }

  get retry_after_ms(): number | undefined {
    return this.details.retry_after_ms;
  }
}

/** What the server answered in place of a result. Codes that this package does not know come as this class itself. */
export class ServerError extends SessiondError {
  override get name(): string {
    return "ServerError";
  }
}

/** There is no connection, or it was lost and the call could not safely be repeated. */
export class ConnectionError extends SessiondError {
  constructor(message: string, extra: { cause?: unknown; mayHaveExecuted?: boolean } = {}) {
    super("CONNECTION", message, extra);
  }

  override get name(): string {
    return "ConnectionError";
  }
}

/** It was sent, and no answer came in time. */
export class TimeoutError extends SessiondError {
  constructor(message: string, extra: { cause?: unknown; mayHaveExecuted?: boolean } = {}) {
    super("TIMEOUT", message, extra);
  }

  override get name(): string {
    return "TimeoutError";
  }
}

/** The other side is no sessiond, or one of another version. */
export class ProtocolError extends SessiondError {
  constructor(message: string, extra: { cause?: unknown; mayHaveExecuted?: boolean } = {}) {
    super("PROTOCOL", message, extra);
  }

  override get name(): string {
    return "ProtocolError";
  }
}

/** The URL cannot be used. */
export class UrlError extends SessiondError {
  constructor(message: string) {
    super("URL", message);
  }

  override get name(): string {
    return "UrlError";
  }
}

/** An argument or option cannot be used; nothing was sent. */
export class ArgumentError extends SessiondError {
  constructor(message: string, extra: { details?: ErrorDetails; cause?: unknown } = {}) {
    super("ARGUMENT", message, extra);
  }

  override get name(): string {
    return "ArgumentError";
  }
}

/** A limit of this client is reached; nothing was sent. */
export class OverloadedError extends SessiondError {
  constructor(message: string) {
    super("OVERLOADED", message);
  }

  override get name(): string {
    return "OverloadedError";
  }
}

/** The client was closed before the answer came, or before the call. */
export class ClosedError extends SessiondError {
  constructor(message: string, extra: { mayHaveExecuted?: boolean } = {}) {
    super("CLOSED", message, extra);
  }

  override get name(): string {
    return "ClosedError";
  }
}
