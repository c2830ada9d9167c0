// Ask the node. Every answer is JSON; a refusal is a `Refused` with what the node said.
//
// The token goes along where there is one. What is refused for want of it asks for it once, and tries again.

import { askForToken, forget, token } from "./token.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return what the node answers to a question: get("model", {ref}, signal). Raises Refused. */
export async function get(what, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const words = new URLSearchParams(given).toString();
  const response = await send(`/-/api/${what}${words ? `?${words}` : ""}`, { signal });
  return response.json();
}

/** Have the node change something: change("pin", {ref}). Raises Refused; null from who gave no token. */
export async function change(what, body = {}, method = "POST") {
  const text = method === "DELETE" ? undefined : JSON.stringify(body);
  const response = await send(`/-/api/${what}`, {
    method, body: text, headers: { "Content-Type": "application/json" }, changes: true,
  });
  return response.json();
}

/** Send a file, telling how far it is: sendFile("drop/ID/PATH", file, (bytes) => …, signal). Raises Refused.
 *  By XMLHttpRequest, since fetch tells nothing of what was sent. */
export function sendFile(what, file, told, signal) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/-/api/${what}`);
    if (token()) request.setRequestHeader("Authorization", `Bearer ${token()}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => told(event.loaded));
    request.addEventListener("load", () => (request.status < 300 ? done() : failed(refusal(request.status, request.responseText))));
    request.addEventListener("error", () => failed(new Refused(0, "the node went away while the file was sent")));
    request.addEventListener("abort", () => failed(new DOMException("stopped", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

/** Open a stream of the node's: the response, whose body comes as it is told. Raises Refused. */
export const open = (what, signal) => send(`/-/api/${what}`, { signal });

/** Return a page of the node's as text: a card, which a frame could not ask for with the token. Raises Refused. */
export const text = async (address, signal) => (await send(address, { signal })).text();

async function send(address, { changes = false, headers = {}, ...options }, again = false) {
  if (changes && !token() && !(await askForToken())) throw new Refused(401, "not done: it takes the node’s token");
  let response;
  try {
    response = await fetch(address, {
      ...options,
      headers: { ...headers, ...(token() ? { Authorization: `Bearer ${token()}` } : {}) },
      credentials: "omit", redirect: "error", cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the node does not answer: is it running?");
  }
  if (response.ok) return response;
  if (response.status === 401 && !again) {
    forget();
    if (await askForToken()) return send(address, { changes, headers, ...options }, true);
  }
  throw refusal(response.status, await response.text());
}

function refusal(status, said) {
  let message = `the node refused it (${status})`;
  try {
    message = String(JSON.parse(said).error || message);
  } catch {
    // No JSON: not the node's own words.
  }
  return new Refused(status, message);
}
