// Lightning invoices that are open or were paid lately.

import {get} from "./api.js";
import {formatTime, make, makeTable, note, say} from "./elements.js";

const PAID_MILLISECONDS = 3600000;
const MOST_INVOICES = 1000;
const UNAVAILABLE = 503;

// Whether the service has no Lightning node. It is asked once: each request would be an error in its log.
let isSwitchedOff = false;

// Return the response with the open and the lately paid invoices, or with the error of either request; null if the
// service has no Lightning node. `now` is in milliseconds.
export async function findInvoices(now) {
    if (isSwitchedOff) {
        return null;
    }
    const open = await get(`payments/lightning?state=open&limit=${MOST_INVOICES}`);
    // A fault that may pass has a time for the next try.
    isSwitchedOff = open.status === UNAVAILABLE && !open.headers.has("Retry-After");
    if (!open.ok) {
        return isSwitchedOff ? null : open;
    }
    const from = new Date(now - PAID_MILLISECONDS).toISOString();
    const paid = await get(`payments/lightning?state=paid&paid_from=${from}&limit=${MOST_INVOICES}`);
    return paid.ok ? {...paid, body: [...open.body ?? [], ...paid.body ?? []]} : paid;
}

const COLUMNS = [
    {text: "time"}, {text: "amount", type: "amount"}, {text: "satoshi", type: "amount"}, {text: "state"},
    {text: "ticket", type: "free"},
];

function makeRow(invoice) {
    const page = make("a", {href: `lightning/${invoice.id}/page`}, say("invoiceOpen"));
    return [
        formatTime(invoice.created_at),
        `${invoice.amount} ${invoice.currency}`,
        invoice.amount_sat,
        invoice.state === "open" ? page : say("invoicePaid"),
        invoice.ticket_id ?? say("noTickets"),
    ];
}

// Return a table of invoices, newest first.
export function makeInvoices(invoices) {
    const sorted = invoices.sort((one, other) => other.created_at.localeCompare(one.created_at));
    return sorted.length ? makeTable(say("invoicesCaption"), COLUMNS, sorted.map(makeRow)) : note(say("noInvoices"));
}
