// Elements of the page.

import {TEXTS} from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

// Return a text of texts.js with its placeholders filled in.
export function say(name, values = {}) {
    return TEXTS[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function") {
            element.addEventListener(name, value);
        } else if (value !== null && value !== false) {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.filter((child) => child !== null));
    return element;
}

// Return an element with attributes, of which functions are listeners of events, and children.
export function make(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
}

export function find(id) {
    return document.getElementById(id);
}

export function note(text) {
    return make("p", {class: "note"}, text);
}

// Return a table. A narrow screen shows each row as a block, so each cell has its column's name and its role.
export function makeTable(caption, columns, rows) {
    const name = (column) => say(column.text);
    const cell = (content, column, place) => make(
        place ? "td" : "th",
        {
            "role": place ? "cell" : "rowheader",
            "scope": place ? null : "row",
            "class": column.type,
            "data-column": name(column),
        },
        content,
    );
    const head = (column) => make("th", {role: "columnheader", scope: "col", class: column.type}, name(column));
    const line = (row) => make("tr", {role: "row"}, ...row.map((content, at) => cell(content, columns[at], at)));
    return make(
        "table",
        {role: "table", class: "list"},
        make("caption", {}, caption),
        make("thead", {role: "rowgroup"}, make("tr", {role: "row"}, ...columns.map(head))),
        make("tbody", {role: "rowgroup"}, ...rows.map(line)),
    );
}

// Return a bar. The text beside it says the same.
export function makeBar({begin, length}, negative) {
    const sign = negative ? "negative" : "positive";
    const place = {x: `${begin}%`, y: 0, width: `${length}%`, height: "100%", class: sign};
    const bar = fill(document.createElementNS(SVG, "rect"), place, []);
    return fill(document.createElementNS(SVG, "svg"), {"class": "bar", "aria-hidden": "true"}, [bar]);
}

// The time of an RFC 3339 text, or of milliseconds, where this browser is.
export function formatTime(time, options = {dateStyle: "medium", timeStyle: "short"}) {
    return new Intl.DateTimeFormat("en-GB", options).format(new Date(time));
}
