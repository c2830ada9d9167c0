// References as they are typed and shown: `publisher/name@tag`, a ticket, a manifest's digest.

const KEY = /\b(12D3Koo[A-Za-z0-9]{4}|b[a-z2-7]{7})[A-Za-z0-9]{20,}([A-Za-z0-9]{4})\b/g;

/** Whether words typed into the search box can be fetched as they are: a ticket, a digest, or something with a key. */
export const isReference = (words) =>
  /^p2phub:\S+$/.test(words) || /^b[a-z2-7]{50,}$/.test(words) || /^[^\s/]+\/[a-z0-9][a-z0-9._-]*(@\S+)?$/.test(words);

/** A reference with its long keys and digests cut short, for people: `12D3KooWAbcd…wxyz/minilm@main`. */
export const short = (reference) => String(reference ?? "").replace(KEY, "$1…$2");
