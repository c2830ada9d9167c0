// The files of what somebody dropped or picked: {path, file} each, paths below the folder, and the folder's name.
//
// A browser gives a dropped folder as entries to walk (webkitGetAsEntry), at most 100 of a folder at a time, and a
// picked one as a list with webkitRelativePath. Both end here as the same.

const FILES_MAX = 20000;

// As of a folder that is published where it stands; what of these may hold a secret is refused by the node, too.
const LEFT_OUT = /(^|\/)(\.git|\.hg|\.svn|\.p2phub|\.cache|__pycache__|\.ipynb_checkpoints)(\/|$)/;

/** Return {name, files} of a drop. Has to be called before anything is waited for: the browser forgets the drop then. */
export function ofDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return walk(entries);
}

/** Return {name, files} of an <input webkitdirectory> or <input multiple>. */
export function ofInput(input) {
  const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  return stripped(files);
}

async function walk(entries) {
  const files = [];
  const waiting = [...entries];
  while (waiting.length) {
    const entry = waiting.pop();
    if (LEFT_OUT.test(entry.fullPath)) continue;
    if (entry.isFile) {
      files.push({ path: entry.fullPath.replace(/^\//, ""), file: await new Promise((done, failed) => entry.file(done, failed)) });
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) break;
        waiting.push(...some);
      }
    }
    if (files.length + waiting.length > FILES_MAX) throw new Error(`more than ${FILES_MAX} files: publish such a folder by its path`);
  }
  return stripped(files);
}

/** One folder: its name is the name, and is not part of the paths. */
function stripped(files) {
  files = files.filter(({ path }) => !LEFT_OUT.test(path));
  files.sort((one, other) => (one.path < other.path ? -1 : 1));
  const first = files[0]?.path.split("/")[0] ?? "";
  const one = files.length > 0 && files.every(({ path }) => path.startsWith(`${first}/`));
  return one ? { name: first, files: files.map(({ path, file }) => ({ path: path.slice(first.length + 1), file })) } : { name: "", files };
}

/** Return a name that a repository can have, as near to a folder's as it can be: `[a-z0-9][a-z0-9._-]{0,63}`. */
export const asName = (folder) => folder.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64);
