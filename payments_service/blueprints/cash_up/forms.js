// The forms: count and close, paid in and out.

import {Sender} from "./api.js";
import {find, make, note, say} from "./elements.js";
import {ExactNumber, add, negate, readAmount} from "./money.js";
import {describeDifference, nameLine} from "./reports.js";
import {CREATE, askToSignIn, explain, explainFields, noteOf, show} from "./responses.js";

const closing = new Sender("payments/closings");
const movement = new Sender("payments/cash-movements");

// The number of the next closing, once it is known.
let number = null;
// All methods in all currencies.
let pairs = new Map();
// What is expected of the lines of the next closing. It has none for those who count blind.
let expectations = new Map();
// The lines of the count form. They are kept when the page is loaded again. All three maps are by method and currency.
const rows = new Map();
// Loads the page again.
let reload = null;

const keyOf = (line) => `${line.method_id} ${line.currency_id}`;

function makeField(name, id, change) {
    const error = make("span", {class: "error", id: `${id}-error`});
    const input = make("input", {
        id,
        "class": "amount",
        "inputmode": "decimal",
        "autocomplete": "off",
        "aria-describedby": error.id,
        "input": change,
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
    const expected = expectations.get(keyOf(row.line));
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
        inputs[inputs.indexOf(event.target) + 1]?.focus();
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
        sayOutcome("close", makeAlert(`${say("closedMeanwhile", {number})} `, linkClosing(number)));
    }
    clearCount();
    closing.forget();
}

function linkClosing(number) {
    return make("a", {href: `#closing-${number}`}, say("showClosing"));
}

function showSheet(sheet) {
    if (number !== null && number !== sheet.number) {
        leaveCount();
    }
    number = sheet.number;
    sheet.lines.filter((line) => !rows.has(keyOf(line))).forEach(addRow);
    rows.forEach(describeRow);
    const all = sheet.methods.flatMap((method) => sheet.currencies.map((currency) => ({...method, ...currency})));
    pairs = new Map(all.map((pair) => [keyOf(pair), pair]));
    find("another-line").replaceChildren(...all.filter((pair) => !rows.has(keyOf(pair))).map(makeOption));
    find("add-line").hidden = !find("another-line").options.length;
    show("close", ...rows.size ? [] : [note(say("nothingToCount"))]);
    find("close-button").textContent = say("closeButton", {number: sheet.number});
    showDrawers(all.filter((pair) => pair.cash));
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

function makeAlert(...content) {
    return make("p", {class: "error", role: "alert"}, ...content);
}

function sayOutcome(form, ...content) {
    find(`${form}-outcome`).replaceChildren(...content);
}

// Say why a form was rejected.
function sayRejected(form, response) {
    if (response.status === 401) {
        askToSignIn(response);
    }
    const reason = response.status === 0 ? say("unknownOutcome") : explain(response);
    const fields = [...new Set(explainFields(response.body?.errors))].join(" ");
    sayOutcome(form, makeAlert(`${reason} ${fields}`.trim()));
}

async function submitCount() {
    const read = [...rows.values()].map(readRow);
    if (read.some(({counted, remaining}) => counted === null || remaining === null)) {
        focusInvalid(find("close-form"));
        return;
    }
    const counts = makeCounts(read);
    if (!counts.length && !find("uncounted").checked) {
        sayOutcome("close", makeAlert(say("countFirst")));
        return;
    }
    await sendForm("close", closing, {number: new ExactNumber(number), counts}, (body) => {
        clearCount();
        sayOutcome("close", make("p", {class: "done"}, `${say("closed", body)} `, linkClosing(body.number)));
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
        await reload();
        return;
    }
    sayRejected(form, response);
    if (response.status === 409) {
        await reload();
    }
}

function showDrawers(drawers) {
    const select = find("drawer");
    const chosen = select.value;
    select.replaceChildren(...drawers.map(makeOption));
    if (drawers.some((drawer) => keyOf(drawer) === chosen)) {
        select.value = chosen;
    }
    find("movement-form").hidden = !drawers.length;
    if (!drawers.length) {
        sayOutcome("movement", note(say("noCash")));
    }
}

async function submitMovement() {
    const input = find("movement-amount");
    const amount = readAmount(input.value);
    const reason = find("movement-reason").value.trim();
    input.setAttribute("aria-invalid", String(amount === null));
    find("movement-reason").setAttribute("aria-invalid", String(!reason));
    if (amount === null || !reason) {
        sayOutcome("movement", makeAlert(say(amount === null ? "notAnAmount" : "reasonFirst")));
        focusInvalid(find("movement-form"));
        return;
    }
    const [method_id, currency_id] = find("drawer").value.split(" ");
    const kind = document.querySelector("[name=kind]:checked").value;
    const body = {kind, method_id, currency_id, amount: new ExactNumber(amount), reason};
    await sendForm("movement", movement, body, () => {
        input.value = find("movement-reason").value = "";
        sayOutcome("movement", make("p", {class: "done"}, say("recorded")));
    });
}

// Show the forms by the responses with the count sheet and with the open closing.
export function showForms(sheet, next) {
    expectations = new Map((next.ok ? next.body.lines : []).map((line) => [keyOf(line), line.expected]));
    find("blind").hidden = next.status !== 403;
    find("close-form").hidden = !sheet.ok;
    find("movement-form").hidden = !sheet.ok;
    if (sheet.ok) {
        showSheet(sheet.body);
    } else {
        show("close", noteOf(sheet, CREATE));
    }
}

function addChosenLine() {
    const select = find("another-line");
    const row = addRow(pairs.get(select.value));
    select.selectedOptions[0].remove();
    find("add-line").hidden = !select.options.length;
    show("close");
    row.counted.input.focus();
}

// Call a function when a form is submitted.
export function onSubmit(form, submit) {
    find(form).addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
    });
}

// Let the forms work. They call `load` after a change.
export function startForms(load) {
    reload = load;
    onSubmit("close-form", submitCount);
    onSubmit("movement-form", submitMovement);
    find("count-lines").addEventListener("keydown", goOn);
    find("add-line-button").addEventListener("click", addChosenLine);
}
