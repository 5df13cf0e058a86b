// The page for the back office: what is shown, and its two forms.

import {download, enterToken, forgetToken, get, hasToken, Sender} from "./api.js";
import {find, formatTime, make, makeTable, note, say} from "./elements.js";
import {ExactNumber, add, negate, readAmount} from "./money.js";
import {describeDifference, makeLines, makeMovements, makeReport, makeTakings, nameLine, nameUser} from "./reports.js";

const LAST_PAYMENTS = 10;
const CLOSINGS = 10;
const TICKETS = 3;
const PAGE = 1000;
const HOUR_MILLISECONDS = 3600000;
// The list of payments is oldest first, so the last ones are looked for in longer and longer times before now.
const HOURS_BEFORE = [1, 8, 24, 7 * 24];

const READ = "payments_read";
const CREATE = "payments_create";
const READING = ["takings", "open", "last-payments", "closings"];

const closing = new Sender("payments/closings");
const movement = new Sender("payments/cash-movements");

// What the service said last. `number` is that of the next closing, once it is known.
const state = {loads: 0, number: null, expected: new Map(), names: null, oldest: null};
// The lines of the count form by method and currency. They are kept when the page is loaded again.
const rows = new Map();

// --- What a response means -------------------------------------------------------------------------------------------

function explain(response) {
    if (response.status === 0) {
        return say("offline");
    }
    return response.body?.message ?? say("failed", {status: response.status});
}

// Return the messages of a 422 about single fields.
function explainFields(errors) {
    if (typeof errors === "string") {
        return [errors];
    }
    return Object.values(errors ?? {}).flatMap(explainFields);
}

function askToSignIn(response) {
    const rejected = response.headers.get("WWW-Authenticate")?.includes("invalid_token");
    find("sign-in-reason").textContent = rejected ? explain(response) : say("notSignedIn");
    find("sign-in").hidden = false;
}

function show(section, ...content) {
    find(section).querySelector(".content").replaceChildren(...content);
}

// Show the content that a response makes, or why there is none.
function showResponse(section, response, makeContent) {
    show(section, response.ok ? makeContent(response.body) : noteOf(response, READ));
}

function noteOf(response, permission) {
    if (response.status === 401) {
        return note(say("signInFirst"));
    }
    return note(response.status === 403 ? say("notPermitted", {permission}) : explain(response));
}

// --- The last payments -----------------------------------------------------------------------------------------------

// The time in a UUIDv7, in milliseconds.
function timeOf(id) {
    return parseInt(id.replace("-", "").slice(0, 12), 16);
}

async function listAll(path) {
    const items = [];
    for (let after = ""; ;) {
        const response = await get(`${path}&limit=${PAGE}${after}`);
        if (!response.ok) {
            return response;
        }
        items.push(...response.body ?? []);
        if (!response.headers.has("Link")) {
            return {...response, body: items};
        }
        after = `&after=${items[items.length - 1].id}`;
    }
}

async function findLastPayments(now) {
    let response;
    for (const hours of HOURS_BEFORE) {
        const from = new Date(now - hours * HOUR_MILLISECONDS).toISOString();
        response = await listAll(`payments?created_from=${from}`);
        if (!response.ok || response.body.length >= LAST_PAYMENTS) {
            break;
        }
    }
    return response.ok ? {...response, body: response.body.slice(-LAST_PAYMENTS).reverse()} : response;
}

async function findTickets(payment) {
    const response = await get(`payments/ticket-payments/by-payment/${payment.id}?limit=${TICKETS + 1}`);
    const tickets = (response.body ?? []).map((link) => link.ticket_id);
    if (!response.ok || !tickets.length) {
        return response.ok ? say("noTickets") : explain(response);
    }
    const shown = tickets.slice(0, TICKETS).join(", ");
    return tickets.length > TICKETS ? say("manyTickets", {tickets: shown}) : shown;
}

const PAYMENT_COLUMNS = [{text: "time"}, {text: "amount", type: "amount"}, {text: "method"}, {text: "tickets", type: "free"}];

async function makePayments(payments) {
    if (!payments.length) {
        return note(say("noPayments", {days: HOURS_BEFORE[HOURS_BEFORE.length - 1] / 24}));
    }
    const tickets = await Promise.all(payments.map(findTickets));
    const lines = payments.map((payment, at) => [
        formatTime(timeOf(payment.id)),
        `${payment.amount} ${state.names.currency(payment.currency_id)}`,
        state.names.method(payment.method_id),
        tickets[at],
    ]);
    return makeTable(say("lastPaymentsCaption"), PAYMENT_COLUMNS, lines);
}

// --- Past closings ---------------------------------------------------------------------------------------------------

const CLOSING_COLUMNS = [{text: "number"}, {text: "day"}, {text: "closedAt", type: "wide"}, {text: "user", type: "wide"}, {text: "difference"}];

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

function makeClosings(closings) {
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
    return makeTable(say("closingsCaption"), CLOSING_COLUMNS, lines);
}

// Load the closings before a number: the list is oldest first, and numbers have no gaps.
async function loadClosings(before) {
    const after = Math.max(before - 1 - CLOSINGS, 0);
    state.oldest = after + 1;
    find("older").hidden = after === 0;
    return get(`payments/closings?limit=${before - 1 - after || 1}${after ? `&after=${after}` : ""}`);
}

// --- Count and close -------------------------------------------------------------------------------------------------

const keyOf = (line) => `${line.method_id} ${line.currency_id}`;

function makeField(name, id, change) {
    const error = make("span", {class: "error", id: `${id}-error`});
    const input = make("input", {
        id, "class": "amount", "inputmode": "decimal", "autocomplete": "off", "aria-describedby": error.id, "input": change,
    });
    return {input, error, box: make("div", {}, make("label", {for: id}, say(name)), input, error)};
}

function addRow(line) {
    const key = keyOf(line);
    const id = `line-${rows.size}`;
    const row = {line, expected: make("p", {class: "expected"})};
    row.counted = makeField("countedField", `${id}-counted`, () => describeRow(row));
    row.remaining = line.cash === true ? makeField("remainingField", `${id}-remaining`, () => describeRow(row)) : null;
    const fields = [row.counted, row.remaining].filter(Boolean).map((field) => field.box);
    find("count-lines").append(make(
        "fieldset",
        {},
        make("legend", {}, nameLine(line)),
        make("div", {class: "row"}, ...fields),
        row.expected,
    ));
    rows.set(key, row);
    describeRow(row);
    return row;
}

function describeRow(row) {
    const expected = state.expected.get(keyOf(row.line));
    const counted = readAmount(row.counted.input.value);
    row.expected.hidden = expected === undefined;
    if (expected === undefined) {
        return;
    }
    row.expected.textContent = counted === null
        ? say("expectedNow", {expected})
        : say("differenceNow", {expected, difference: describeDifference(add([counted, negate(expected)]))});
}

// Enter goes on to the next field: it would close before everything is counted.
function goOn(event) {
    if (event.key === "Enter") {
        event.preventDefault();
        const inputs = [...find("count-lines").querySelectorAll("input")];
        (inputs[inputs.indexOf(event.target) + 1] ?? find("close-button")).focus();
    }
}

function clearCount() {
    rows.clear();
    find("count-lines").replaceChildren();
    find("uncounted").checked = false;
}

// Clear what was typed before another closing: it was in the drawer then. The closing may be this form's own, whose
// response was lost.
function leaveCount() {
    const typed = [...find("count-lines").querySelectorAll("input")].some((input) => input.value);
    if (typed || closing.isOpen()) {
        sayOutcome("close", make(
            "p",
            {class: "error", role: "alert"},
            `${say("closedMeanwhile", state)} `,
            linkClosing(state.number),
        ));
    }
    clearCount();
    closing.forget();
}

function linkClosing(number) {
    return make("a", {href: `#closing-${number}`}, say("showClosing"));
}

function showSheet(sheet) {
    if (state.number !== null && state.number !== sheet.number) {
        leaveCount();
    }
    state.number = sheet.number;
    sheet.lines.filter((line) => !rows.has(keyOf(line))).forEach(addRow);
    rows.forEach(describeRow);
    const pairs = sheet.methods.flatMap((method) => sheet.currencies.map((currency) => ({...method, ...currency})));
    find("another-line").replaceChildren(...pairs.filter((pair) => !rows.has(keyOf(pair))).map(makeOption));
    find("add-line").hidden = !find("another-line").options.length;
    show("close", ...rows.size ? [] : [note(say("nothingToCount"))]);
    find("close-button").textContent = say("closeButton", {number: sheet.number});
    showDrawers(pairs.filter((pair) => pair.cash));
    state.pairs = new Map(pairs.map((pair) => [keyOf(pair), pair]));
}

function makeOption(line) {
    return make("option", {value: keyOf(line)}, nameLine(line));
}

// Return the amount of a field, undefined if it is empty, null if it is none. The field says so.
function readField(field, required) {
    const typed = field.input.value.trim();
    const amount = typed || required ? readAmount(typed) : undefined;
    field.error.textContent = amount === null ? say("notAnAmount") : "";
    field.input.setAttribute("aria-invalid", String(amount === null));
    return amount;
}

function readRow(row) {
    const remaining = row.remaining ? readField(row.remaining) : undefined;
    const counted = readField(row.counted, remaining !== undefined);
    return {counted, remaining, line: row.line};
}

function focusInvalid(form) {
    form.querySelector("[aria-invalid=true]").focus();
}

function makeCounts(read) {
    return read.filter(({counted}) => counted !== undefined).map(({counted, remaining, line}) => ({
        method_id: line.method_id,
        currency_id: line.currency_id,
        counted: new ExactNumber(counted),
        ...remaining === undefined ? {} : {remaining: new ExactNumber(remaining)},
    }));
}

function sayOutcome(form, ...content) {
    find(`${form}-outcome`).replaceChildren(...content);
}

// Say why a form was rejected. Return whether the service has its last word on it.
function sayRejected(form, response) {
    if (response.status === 401) {
        askToSignIn(response);
    }
    const unknown = response.status === 0 || response.status >= 500;
    const reason = response.status === 0 ? say("unknownOutcome") : explain(response);
    const fields = [...new Set(explainFields(response.body?.errors))].join(" ");
    sayOutcome(form, make("p", {class: "error", role: "alert"}, `${reason} ${fields}`.trim()));
    return !unknown;
}

async function submitCount() {
    const read = [...rows.values()].map(readRow);
    if (read.some(({counted, remaining}) => counted === null || remaining === null)) {
        focusInvalid(find("close-form"));
        return;
    }
    const counts = makeCounts(read);
    if (!counts.length && !find("uncounted").checked) {
        sayOutcome("close", make("p", {class: "error", role: "alert"}, say("countFirst")));
        return;
    }
    await sendForm("close", closing, {number: new ExactNumber(state.number), counts}, (body) => {
        clearCount();
        sayOutcome("close", make(
            "p",
            {class: "done"},
            `${say("closed", body)} `,
            linkClosing(body.number),
        ));
    });
}

async function sendForm(form, sender, body, succeed) {
    if (sender.busy) {
        // The second click of a double click.
        return;
    }
    const button = find(`${form}-button`);
    button.disabled = true;
    sayOutcome(form, note(say("sending")));
    const response = await sender.send(body);
    button.disabled = false;
    if (response.ok) {
        succeed(response.body);
        await load();
    } else if (sayRejected(form, response) && response.status === 409) {
        await load();
    }
}

// --- Paid in and out -------------------------------------------------------------------------------------------------

function showDrawers(drawers) {
    const select = find("drawer");
    const chosen = select.value;
    select.replaceChildren(...drawers.map(makeOption));
    if (drawers.some((drawer) => keyOf(drawer) === chosen)) {
        select.value = chosen;
    }
    find("movement-form").hidden = !drawers.length;
}

async function submitMovement() {
    const input = find("movement-amount");
    const amount = readAmount(input.value);
    const reason = find("movement-reason").value.trim();
    input.setAttribute("aria-invalid", String(amount === null));
    find("movement-reason").setAttribute("aria-invalid", String(!reason));
    if (amount === null || !reason) {
        sayOutcome("movement", make("p", {class: "error", role: "alert"}, say(amount === null ? "notAnAmount" : "reasonFirst")));
        focusInvalid(find("movement-form"));
        return;
    }
    const [method_id, currency_id] = find("drawer").value.split(" ");
    const kind = document.querySelector("[name=kind]:checked").value;
    await sendForm("movement", movement, {kind, method_id, currency_id, amount: new ExactNumber(amount), reason}, () => {
        input.value = find("movement-reason").value = "";
        sayOutcome("movement", make("p", {class: "done"}, say("recorded")));
    });
}

// --- Loading ---------------------------------------------------------------------------------------------------------

// Return what turns the ids of methods and currencies into names.
async function loadNames() {
    const [methods, currencies] = await Promise.all([get("payments/methods"), get("payments/currencies")]);
    const name = (list, id, key) => list?.find((item) => item.id === id)?.[key] ?? id;
    const method = (id) => name(methods.body, id, "name");
    const currency = (id) => name(currencies.body, id, "acronym");
    return {method, currency};
}

function showForms(sheet) {
    find("close-form").hidden = !sheet.ok;
    find("movement-form").hidden = !sheet.ok;
    if (sheet.ok) {
        showSheet(sheet.body);
    } else {
        show("close", noteOf(sheet, CREATE));
    }
}

function showOpen(report) {
    state.expected = new Map(report.lines.map((line) => [keyOf(line), line.expected]));
    const link = make("a", {href: "#closing-next"}, say("printOpen"));
    return make("div", {}, note(say("openHint", report)), makeLines(report.lines), make("p", {class: "no-print"}, link));
}

function showMovements(sheet, response) {
    const table = (body) => body ? makeMovements(say("movementsCaption"), body, state.names) : note(say("noMovements"));
    const form = sheet.ok ? [] : [noteOf(sheet, CREATE)];
    show("movements", ...form, response.ok ? table(response.body) : noteOf(response, READ));
}

async function loadReading(sheet, next, isNewest) {
    const now = Date.parse(next.headers.get("Date")) || Date.now();
    const [names, takings, payments, closings, movements] = await Promise.all([
        loadNames(),
        get("payments/takings"),
        findLastPayments(now),
        loadClosings(Number(next.body.number)),
        get(`payments/cash-movements?closing=${next.body.number}`),
    ]);
    if (!isNewest()) {
        return;
    }
    state.names = names;
    showResponse("takings", takings, (body) => body
        ? make("div", {}, note(say("businessDay", {date: body.from})), makeTakings(body))
        : note(say("noTakings")));
    showResponse("closings", closings, (body) => makeClosings(body ?? []));
    showMovements(sheet, movements);
    const table = payments.ok ? await makePayments(payments.body) : null;
    if (isNewest()) {
        showResponse("last-payments", payments, () => table);
    }
}

async function load() {
    const number = ++state.loads;
    const isNewest = () => state.loads === number;
    find("status").textContent = say("loading");
    find("signed-in").hidden = !hasToken();
    const [sheet, next] = await Promise.all([get("payments/closings/next/count-sheet"), get("payments/closings/next")]);
    if (!isNewest()) {
        return;
    }
    const rejected = [sheet, next].find((response) => response.status === 401);
    if (rejected) {
        askToSignIn(rejected);
    } else if (next.status !== 0) {
        find("sign-in").hidden = true;
    }
    state.expected = new Map();
    showResponse("open", next, showOpen);
    showForms(sheet);
    find("blind").hidden = next.status !== 403;
    if (next.ok) {
        await loadReading(sheet, next, isNewest);
    } else {
        // One rejected request is enough.
        READING.forEach((section) => showResponse(section, next));
        show("movements", noteOf(sheet.ok ? next : sheet, sheet.ok ? READ : CREATE));
        find("older").hidden = true;
    }
    if (isNewest()) {
        const failed = [sheet, next].find((response) => !response.ok && response.status !== 403);
        find("status").textContent = failed
            ? say("notLoaded", {reason: failed.status === 401 ? say("notSignedIn") : explain(failed)})
            : say("loaded", {time: formatTime(Date.now(), {timeStyle: "medium"})});
    }
}

async function loadOlder() {
    const response = await loadClosings(state.oldest);
    if (response.ok) {
        const older = makeClosings(response.body ?? []);
        find("closings").querySelector("tbody").append(...older.querySelectorAll("tbody tr"));
    } else {
        show("closings", noteOf(response, READ));
    }
}

// --- Reports ---------------------------------------------------------------------------------------------------------

function explainDownload(status) {
    if (status === 204) {
        return say("emptyFile");
    }
    return say("downloadFailed", {reason: status ? say("failed", {status}) : say("offline")});
}

function makeActions(number) {
    const path = `payments/closings/${number}`;
    const outcome = make("p", {role: "status", class: "error"});
    const save = (file, name) => async () => {
        const status = await download(path + file, name);
        outcome.textContent = status === 200 ? "" : explainDownload(status);
    };
    const button = (text, click, type) => make("button", {type: "button", class: type, click}, say(text));
    return make(
        "div",
        {class: "actions"},
        make("a", {href: "#"}, say("back")),
        button("print", () => window.print(), "primary"),
        button("journal", save("/postings?format=csv", `closing-${number}.csv`)),
        number === "next" ? null : button("archive", save("/archive", `closing-${number}.jsonl`)),
        outcome,
    );
}

async function loadReport(number) {
    const report = await get(`payments/closings/${number}`);
    if (!report.ok) {
        if (report.status === 401) {
            askToSignIn(report);
        }
        return [note(report.status === 404 ? say("noReport", {number}) : noteOf(report, READ).textContent)];
    }
    const [names, movements] = await Promise.all([
        loadNames(),
        get(`payments/cash-movements?closing=${report.body.number}`),
    ]);
    const table = movements.body && movements.ok ? makeMovements(say("closedMovements"), movements.body, names) : null;
    return [makeReport(report.body, table)];
}

// The address after # names the report that is shown, so that it can be linked and the browser's Back works.
async function route() {
    const number = /^#closing-(\d+|next)$/.exec(location.hash)?.[1];
    const report = find("report");
    find("overview").hidden = Boolean(number);
    report.hidden = !number;
    document.title = say("title");
    if (!number) {
        report.replaceChildren();
        return;
    }
    report.replaceChildren(makeActions(number), note(say("loading")));
    const hash = location.hash;
    const content = await loadReport(number);
    if (location.hash === hash) {
        report.replaceChildren(makeActions(number), ...content);
        // A browser suggests the title as the name of a PDF file.
        document.title = report.querySelector("h2")?.textContent ?? say("title");
        report.focus();
    }
}

// --- The start -------------------------------------------------------------------------------------------------------

function onSubmit(form, submit) {
    find(form).addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
    });
}

function reload() {
    route();
    load();
}

for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = say(element.dataset.text);
}
find("reload").addEventListener("click", reload);
find("older").addEventListener("click", loadOlder);
find("sign-out").addEventListener("click", () => {
    forgetToken();
    reload();
});
find("add-line-button").addEventListener("click", () => {
    const select = find("another-line");
    const row = addRow(state.pairs.get(select.value));
    select.selectedOptions[0].remove();
    find("add-line").hidden = !select.options.length;
    show("close");
    row.counted.input.focus();
});
onSubmit("sign-in-form", () => {
    const token = find("token").value.trim();
    if (token) {
        enterToken(token);
        find("token").value = "";
        reload();
    }
});
onSubmit("close-form", submitCount);
find("count-lines").addEventListener("keydown", goOn);
onSubmit("movement-form", submitMovement);
window.addEventListener("hashchange", route);
reload();
