// Make nodes. The one way in which what the node says comes onto the page: as text, never as markup.

/** Return an element: h("p.note", {title: "…", onclick: f}, "text", node, null). A property that starts with "on" is
 *  a listener, `hidden`, `value` and other booleans are set as properties, the rest as attributes; null leaves out. */
export function h(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true || name === "value") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return an SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set a node's text if it is another: what did not change is not told again by a screen reader. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Have `parent` show one child for each item, in order. `make(item)` returns {node, update(item)}; a child stays the
 *  same node as long as its key does, so that focus and what is selected in it stay. */
export function keyed(parent, make) {
  const shown = new Map();
  return (items, key) => {
    const keys = new Set(items.map(key));
    for (const [old, child] of shown) {
      if (!keys.has(old)) {
        child.node.remove();
        shown.delete(old);
      }
    }
    items.forEach((item, at) => {
      let child = shown.get(key(item));
      if (!child) shown.set(key(item), (child = make(item)));
      child.update(item);
      if (parent.children[at] !== child.node) parent.insertBefore(child.node, parent.children[at] ?? null);
    });
  };
}
