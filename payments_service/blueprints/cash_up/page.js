// The page for the back office.

import {download, enterToken, forgetToken, get, hasToken} from "./api.js";
import {loadClosings, loadOlder, makeClosings} from "./closings.js";
import {find, formatTime, make, note, say} from "./elements.js";
import {onSubmit, showForms, startForms} from "./forms.js";
import {findLastPayments, makePayments} from "./payments.js";
import {findInvoices, makeInvoices} from "./lightning.js";
import {makeLines, makeMovements, makeReport, makeTakings} from "./reports.js";
import {CREATE, READ, askToSignIn, explain, loadNames, noteOf, show, showResponse} from "./responses.js";

const READING = ["takings", "open", "lightning", "last-payments", "closings"];

// How often the page was loaded: responses to an earlier load are dropped.
let loads = 0;

function showOpen(report) {
    const link = make("p", {class: "no-print"}, make("a", {href: "#closing-next"}, say("printOpen")));
    return make("div", {}, note(say("openHint", report)), makeLines(report.lines), link);
}

function showMovements(sheet, response, names) {
    const table = (body) => body ? makeMovements(say("movementsCaption"), body, names) : note(say("noMovements"));
    const form = sheet.ok ? [] : [noteOf(sheet, CREATE)];
    show("movements", ...form, response.ok ? table(response.body) : noteOf(response, READ));
}

function showInvoices(response) {
    find("lightning").hidden = response === null;
    if (response) {
        showResponse("lightning", response, makeInvoices);
    }
}

async function loadReading(sheet, next, isNewest) {
    const now = Date.parse(next.headers.get("Date")) || Date.now();
    const [names, takings, payments, invoices, closings, movements] = await Promise.all([
        loadNames(),
        get("payments/takings"),
        findLastPayments(now),
        findInvoices(now),
        loadClosings(Number(next.body.number)),
        get(`payments/cash-movements?closing=${next.body.number}`),
    ]);
    if (!isNewest()) {
        return;
    }
    showResponse("takings", takings, (body) => body
        ? make("div", {}, note(say("businessDay", {date: body.from})), makeTakings(body))
        : note(say("noTakings")));
    showResponse("closings", closings, (body) => makeClosings(body ?? []));
    showMovements(sheet, movements, names);
    showInvoices(invoices);
    const table = payments.ok ? await makePayments(payments.body, names) : null;
    if (isNewest()) {
        showResponse("last-payments", payments, () => table);
    }
}

async function load() {
    const number = ++loads;
    const isNewest = () => loads === number;
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
    showResponse("open", next, showOpen);
    showForms(sheet, next);
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
onSubmit("sign-in-form", () => {
    const token = find("token").value.trim();
    if (token) {
        enterToken(token);
        find("token").value = "";
        reload();
    }
});
startForms(load);
window.addEventListener("hashchange", route);
reload();
