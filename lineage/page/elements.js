// Elements of the page, and values in words.

const SVG = "http://www.w3.org/2000/svg";

const part = (id) => document.getElementById(id);

function element(name, attributes = {}, children = []) {
  return filled(document.createElement(name), attributes, children);
}

// The same for SVG.
function drawing(name, attributes = {}, children = []) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function facts(rows) {
  return element("dl", {}, rows.flatMap(([name, value]) => [element("dt", {}, [name]), element("dd", {}, [value])]));
}

function heading(text) {
  return element("h3", {}, [text]);
}

function note(...content) {
  return element("p", { class: "note" }, content);
}

// A link to a file of the machine that wrote the page.
function fileLink(path, text = path) {
  const address = `file://${path.split("/").map(encodeURIComponent).join("/")}`;
  return element("a", { href: address, title: path }, [text]);
}

function words(value) {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(Number.isInteger(value) ? value : Number(value.toPrecision(5)));
  return JSON.stringify(value);
}

function count(number) {
  return Number(number).toLocaleString("en");
}

function moment(milliseconds) {
  return new Date(milliseconds).toLocaleString("sv");
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const padded = (number) => String(number).padStart(2, "0");
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
}
