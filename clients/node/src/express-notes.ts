// A note on an object, seen by nobody else: not by JSON, not by copies, not by who lists its members. It is a private
// member that the object is given by a constructor that answers it. A WeakMap would do the same and costs ten times as
// much, most of it when memory is collected: three notes are made for each request.

class Answering {
  constructor(object: object) {
    return object;
  }
}

class Noted extends Answering {
  #note: unknown;

  constructor(object: object, note: unknown) {
    super(object);
    this.#note = note;
  }

  static read(object: object): unknown {
    return #note in object ? object.#note : undefined;
  }

  static write(object: object, note: unknown): void {
    if (#note in object) object.#note = note;
    else new Noted(object, note);
  }
}

interface Entry {
  readonly owner: object;
  note: unknown;
  readonly next: Entry | undefined;
}

/** Notes of one owner, who sees no others. An object that takes no new members is given none. */
export class Notes<Note> {
  get(object: object): Note | undefined {
    return this.#entryOf(object)?.note as Note | undefined;
  }

  set(object: object, note: Note): void {
    const entry = this.#entryOf(object);
    if (entry) entry.note = note;
    else if (Object.isExtensible(object))
      Noted.write(object, { owner: this, note, next: Noted.read(object) as Entry | undefined } satisfies Entry);
  }

  #entryOf(object: object): Entry | undefined {
    let entry = Noted.read(object) as Entry | undefined;
    while (entry && entry.owner !== this) entry = entry.next;
    return entry;
  }
}
