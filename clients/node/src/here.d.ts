// Where the built files are; build.js writes here.js into each of the two builds, whose module systems know it by
// different names.

/** The URL of here.js, beside which the other built files are. */
export declare const here: string;
