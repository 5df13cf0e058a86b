// What a closing and the takings hold, as elements.

import {formatTime, make, makeBar, makeTable, note, say} from "./elements.js";
import {add, makeBars, negate, sign} from "./money.js";

// Return a Map of lists by what `key` returns of each item.
function groupBy(items, key) {
    const groups = new Map();
    for (const item of items) {
        groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
    }
    return groups;
}

export function nameUser(user) {
    return user === null ? say("nobody") : say("userNumber", {user});
}

export function nameLine(line) {
    return say("line", line);
}

function takingsOf(line) {
    return add([line.payments, line.corrections, negate(line.refunds)]);
}

export function describeDifference(amount) {
    if (amount === null) {
        return say("notCounted");
    }
    const words = {"-1": "short", "0": "matches", "1": "over"};
    return say(words[sign(amount)], {amount: sign(amount) > 0 ? `+${amount}` : amount});
}

function makeLine(line) {
    const closed = line.remaining !== null;
    const rows = [
        line.cash && ["opening", line.opening],
        ["paymentsLine", line.payments, line.payments_count],
        ["correctionsLine", line.corrections, line.corrections_count],
        ["refundsLine", line.refunds, line.refunds_count],
        line.cash && ["paidInLine", line.paid_in],
        line.cash && ["paidOutLine", line.paid_out],
        ["expectedLine", line.expected],
        closed && ["countedLine", line.counted ?? say("notCounted")],
        closed && line.counted !== null && ["differenceLine", describeDifference(line.difference)],
        closed && line.cash && ["remainingLine", line.remaining],
        closed && line.cash && ["takenOutLine", line.taken_out],
    ].filter(Boolean);
    const row = ([name, amount, count]) => make(
        "tr",
        {class: name === "expectedLine" ? "sum" : null},
        make("th", {scope: "row"}, say(name, {count})),
        make("td", {class: "amount"}, amount),
    );
    return make("table", {class: "line"}, make("caption", {}, nameLine(line)), make("tbody", {}, ...rows.map(row)));
}

// Return the lines of an open or a past closing, with the takings of each currency.
export function makeLines(lines) {
    const parts = [...groupBy(lines, (line) => line.currency_id).values()].map((group) => make(
        "div",
        {class: "currency"},
        make("h3", {}, say("takingsTotal", {currency: group[0].currency, total: add(group.map(takingsOf))})),
        make("div", {class: "lines"}, ...group.map(makeLine)),
    ));
    return make("div", {class: "currencies"}, ...(parts.length ? parts : [note(say("noLines"))]));
}

const USER_COLUMNS = [
    {text: "user"}, {text: "method"}, {text: "currency"}, {text: "takingsColumn", type: "amount"},
];

export function makeUsers(users) {
    const rows = users.map((line) => [nameUser(line.user_id), line.method, line.currency, line.takings]);
    return rows.length ? makeTable(say("byUser"), USER_COLUMNS, rows) : null;
}

const MOVEMENT_COLUMNS = [
    {text: "time"},
    {text: "kind"},
    {text: "amount", type: "amount"},
    {text: "reason", type: "free"},
    {text: "user", type: "wide"},
];

// Return a table of cash movements; `names` has what loadNames returns.
export function makeMovements(caption, movements, names) {
    const rows = movements.map((movement) => [
        formatTime(movement.at),
        say("kindOf", {kind: say(movement.kind), method: names.method(movement.method_id)}),
        `${movement.amount} ${names.currency(movement.currency_id)}`,
        movement.reason,
        nameUser(movement.user_id),
    ]);
    return makeTable(caption, MOVEMENT_COLUMNS, rows);
}

function sumLines(name, lines) {
    const total = (amount) => add(lines.map((line) => line[amount]));
    const counted = (amount) => say("counted", {amount: total(amount), count: total(`${amount}_count`)});
    return [name, counted("payments"), counted("corrections"), counted("refunds"), total("takings")];
}

const TAKINGS_COLUMNS = ["payments", "corrections", "refunds", "takingsColumn"].map((text) => ({text, type: "amount"}));

function makeTakingsOfCurrency(lines) {
    const {currency} = lines[0];
    const total = add(lines.map((line) => line.takings));
    const methods = [...groupBy(lines, (line) => line.method_id).values()];
    const byMethod = methods.map((group) => sumLines(group[0].method, group));
    const users = [...groupBy(lines, (line) => line.user_id).entries()];
    const byUser = users.map(([user, group]) => sumLines(nameUser(user), group));
    const amounts = byMethod.map((row) => row[row.length - 1]);
    const bars = makeBars(amounts).map((bar, at) => make(
        "li",
        {},
        make("span", {class: "name"}, byMethod[at][0]),
        makeBar(bar, sign(amounts[at]) < 0),
        make("span", {class: "amount"}, amounts[at]),
    ));
    return make(
        "div",
        {class: "currency"},
        make(
            "figure",
            {},
            make("figcaption", {}, say("barsOf", {currency})),
            make("ul", {class: "bars"}, ...bars),
        ),
        makeTable(say("takingsByMethod", {currency, total}), [{text: "method"}, ...TAKINGS_COLUMNS], byMethod),
        makeTable(say("takingsByUser", {currency}), [{text: "user"}, ...TAKINGS_COLUMNS], byUser),
    );
}

// Return the takings of some days as pictures and tables.
export function makeTakings(takings) {
    const lines = takings.days.flatMap((day) => day.lines);
    const groups = groupBy(lines, (line) => line.currency_id);
    return make("div", {}, ...[...groups.values()].map(makeTakingsOfCurrency));
}

function makeFacts(facts) {
    return make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, say(name)), make("dd", {}, value)]));
}

// Return the X report of the open closing or the Z report of a past one, as it is printed.
export function makeReport(report, movements) {
    const closed = "hash" in report;
    const time = (at) => formatTime(at, {dateStyle: "full", timeStyle: "long"});
    return make(
        "article",
        {},
        make("h2", {}, say(closed ? "zReport" : "xReport", report)),
        makeFacts(
            closed
                ? [
                    ["day", report.business_date],
                    ["closedAt", time(report.closed_at)],
                    ["closedBy", nameUser(report.user_id)],
                ]
                : [["day", report.business_date], ["asOf", time(Date.now())]],
        ),
        makeLines(report.lines),
        makeUsers(report.users),
        movements,
        closed && make(
            "section",
            {class: "seal"},
            make("h3", {}, say("seal")),
            makeFacts([["hash", report.hash], ["previousHash", report.previous_hash ?? say("firstClosing")]]),
            note(say("sealHint")),
            make("p", {class: "signature"}, say("signature")),
        ) || null,
    );
}
