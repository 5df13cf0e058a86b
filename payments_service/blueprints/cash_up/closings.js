// The list of past closings.

import {get} from "./api.js";
import {find, formatTime, make, makeTable, note, say} from "./elements.js";
import {describeDifference, nameLine, nameUser} from "./reports.js";
import {READ, noteOf, show} from "./responses.js";

const CLOSINGS = 10;

// The number of the oldest closing that is shown.
let oldest = null;

const COLUMNS = [
    {text: "number"},
    {text: "day"},
    {text: "closedAt", type: "wide"},
    {text: "user", type: "wide"},
    {text: "difference"},
];

function makeDifferences(lines) {
    const counted = lines.filter((line) => line.counted !== null);
    if (!counted.length) {
        return say("notCounted");
    }
    return make("span", {}, ...counted.map((line) => make(
        "span",
        {class: "difference"},
        say("differenceOf", {line: nameLine(line), difference: describeDifference(line.difference)}),
    )));
}

export function makeClosings(closings) {
    if (!closings.length) {
        return note(say("noClosings"));
    }
    const lines = [...closings].reverse().map((past) => [
        make("a", {href: `#closing-${past.number}`}, say("zReport", past)),
        past.business_date,
        formatTime(past.closed_at),
        nameUser(past.user_id),
        makeDifferences(past.lines),
    ]);
    return makeTable(say("closingsCaption"), COLUMNS, lines);
}

// Load the closings before a number: the list is oldest first, and numbers have no gaps.
export async function loadClosings(before) {
    const after = Math.max(before - 1 - CLOSINGS, 0);
    oldest = after + 1;
    find("older").hidden = after === 0;
    return get(`payments/closings?limit=${before - 1 - after || 1}${after ? `&after=${after}` : ""}`);
}

// Show closings that are older than those that are shown.
export async function loadOlder() {
    const response = await loadClosings(oldest);
    if (response.ok) {
        const older = makeClosings(response.body ?? []);
        find("closings").querySelector("tbody").append(...older.querySelectorAll("tbody tr"));
    } else {
        show("closings", noteOf(response, READ));
    }
}
