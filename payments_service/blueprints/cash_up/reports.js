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

// A restaurant without tips sees nothing of them. A corrected tip may be negative.
function hasTips(lines) {
    return lines.some((line) => sign(line.tips));
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
        hasTips([line]) && ["tipsLine", line.tips],
    ].filter(Boolean);
    const row = ([name, amount, count]) => make(
        "tr",
        {class: name === "expectedLine" ? "sum" : null},
        make("th", {scope: "row"}, say(name, {count})),
        make("td", {class: "amount"}, amount),
    );
    return make("table", {class: "line"}, make("caption", {}, nameLine(line)), make("tbody", {}, ...rows.map(row)));
}

function nameTotals(lines) {
    const totals = {
        currency: lines[0].currency,
        total: add(lines.map(takingsOf)),
        tips: add(lines.map((line) => line.tips)),
    };
    return say(hasTips(lines) ? "takingsAndTips" : "takingsTotal", totals);
}

// Return the lines of an open or a past closing, with the takings of each currency.
export function makeLines(lines) {
    const parts = [...groupBy(lines, (line) => line.currency_id).values()].map((group) => make(
        "div",
        {class: "currency"},
        make("h3", {}, nameTotals(group)),
        make("div", {class: "lines"}, ...group.map(makeLine)),
    ));
    return make("div", {class: "currencies"}, ...(parts.length ? parts : [note(say("noLines"))]));
}

const USER_COLUMNS = [
    {text: "user"}, {text: "method"}, {text: "currency"}, {text: "takingsColumn", type: "amount"},
];
const TIPS_COLUMN = {text: "tips", type: "amount"};

export function makeUsers(users) {
    const tips = hasTips(users);
    const columns = tips ? [...USER_COLUMNS, TIPS_COLUMN] : USER_COLUMNS;
    const rows = users.map((line) => [
        nameUser(line.user_id), line.method, line.currency, line.takings, ...tips ? [line.tips] : [],
    ]);
    return rows.length ? makeTable(say("byUser"), columns, rows) : null;
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

const TAKINGS_COLUMNS = ["payments", "corrections", "refunds", "takingsColumn"].map((text) => ({text, type: "amount"}));

// Return a row for the lines of one method or user.
function sumLines(name, lines) {
    const total = (amount) => add(lines.map((line) => line[amount]));
    const counted = (amount) => say("counted", {amount: total(amount), count: total(`${amount}_count`)});
    return [name, counted("payments"), counted("corrections"), counted("refunds"), total("takings"), total("tips")];
}

// Return a table of rows of `sumLines`.
function makeSums(caption, first, rows, tips) {
    const columns = [{text: first}, ...TAKINGS_COLUMNS, ...tips ? [TIPS_COLUMN] : []];
    return makeTable(caption, columns, rows.map((row) => row.slice(0, columns.length)));
}

function makeTakingsOfCurrency(lines) {
    const {currency} = lines[0];
    const total = add(lines.map((line) => line.takings));
    const methods = [...groupBy(lines, (line) => line.method_id).values()];
    const byMethod = methods.map((group) => sumLines(group[0].method, group));
    const users = [...groupBy(lines, (line) => line.user_id).entries()];
    const byUser = users.map(([user, group]) => sumLines(nameUser(user), group));
    const amounts = methods.map((group) => add(group.map((line) => line.takings)));
    const tips = hasTips(lines);
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
        makeSums(say("takingsByMethod", {currency, total}), "method", byMethod, tips),
        makeSums(say("takingsByUser", {currency}), "user", byUser, tips),
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
