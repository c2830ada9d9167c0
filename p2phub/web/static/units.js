// Numbers as people read them, the same as on the command line: MB are 10^6 bytes. A line never breaks before a unit.

const UNITS = [["TB", 4], ["GB", 3], ["MB", 2], ["kB", 1]];
const whole = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

/** `812 B`, `45.2 MB`, `1.31 GB`; "–" for what nobody knows. */
export function size(bytes) {
  if (!Number.isFinite(bytes)) return "–";
  for (const [unit, power] of UNITS) {
    const scaled = bytes / 1000 ** power;
    if (scaled >= 0.9995) return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)}\u00a0${unit}`;
  }
  return `${Math.round(bytes)}\u00a0B`;
}

export const rate = (bytes) => `${size(bytes)}/s`;

export const count = (number) => (Number.isFinite(number) ? whole.format(number) : "–");

/** `1 file`, `12,000 files`. */
export const plural = (number, noun, more = `${noun}s`) => `${count(number)} ${number === 1 ? noun : more}`;

/** `12 s`, `3:07`, `2:03:07`; "–" for what nobody knows. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const all = Math.round(seconds);
  if (all < 100) return `${all}\u00a0s`;
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60)];
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

/** `45 %`, never 100 % before it is whole, nor 0 % once there is something; "–" where nobody knows of how much. */
export function percent(part, of) {
  if (!of) return "–";
  if (part > 0 && part < of / 100) return "<\u00a01\u00a0%";
  return `${part >= of ? 100 : Math.floor((100 * part) / of)}\u00a0%`;
}

/** The day of a time in seconds since 1970. */
export const date = (seconds) => (Number.isFinite(seconds) && seconds > 0 ? day.format(seconds * 1000) : "–");
