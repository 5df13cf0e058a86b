// The last payments.

import {get} from "./api.js";
import {formatTime, makeTable, note, say} from "./elements.js";
import {explain} from "./responses.js";

const LAST_PAYMENTS = 10;
const TICKETS = 3;
const PAGE = 1000;
const HOUR_MILLISECONDS = 3600000;
// The list of payments is oldest first, so the last ones are looked for in longer and longer times before now.
const HOURS_BEFORE = [1, 8, 24, 7 * 24];

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

// Return the response with the last payments, newest first. `now` is in milliseconds.
export async function findLastPayments(now) {
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

const COLUMNS = [
    {text: "time"}, {text: "amount", type: "amount"}, {text: "method"}, {text: "tickets", type: "free"},
];

export async function makePayments(payments, names) {
    if (!payments.length) {
        return note(say("noPayments", {days: HOURS_BEFORE[HOURS_BEFORE.length - 1] / 24}));
    }
    const tickets = await Promise.all(payments.map(findTickets));
    const lines = payments.map((payment, at) => [
        formatTime(timeOf(payment.id)),
        `${payment.amount} ${names.currency(payment.currency_id)}`,
        names.method(payment.method_id),
        tickets[at],
    ]);
    return makeTable(say("lastPaymentsCaption"), COLUMNS, lines);
}
