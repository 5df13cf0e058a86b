// The page that shows a Lightning invoice to the guest.

import {get, getText} from "../../cash-up/api.js";

const WAIT_SECONDS = 20;
const RETRY_MILLISECONDS = 3000;
const SECOND_MILLISECONDS = 1000;
// After its expiry an invoice may still turn out to be paid.
const EXPIRED_MILLISECONDS = 15000;

const id = location.pathname.split("/").at(-2);
const path = `payments/lightning/${id}`;
const find = (element) => document.getElementById(element);

// When the invoice expires, by the clock of performance.now: the clock of this device may be wrong.
let expiry = null;

function show(state) {
    for (const element of document.querySelectorAll("[data-in]")) {
        element.hidden = !element.dataset.in.split(" ").includes(state);
    }
}

function showTimeLeft() {
    const seconds = Math.max(0, Math.ceil((expiry - performance.now()) / SECOND_MILLISECONDS));
    find("left").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

async function showInvoice(response) {
    const invoice = response.body;
    find("amount").textContent = `${invoice.amount} ${invoice.currency}`;
    // Null if it was withdrawn before the node had made it.
    find("satoshi").textContent = invoice.amount_sat === null ? "" : `${invoice.amount_sat} sat`;
    if (invoice.state === "open" && !find("qr").src) {
        const image = await getText(`${path}/qr`);
        if (image === null) {
            return false;
        }
        find("qr").src = `data:image/svg+xml,${encodeURIComponent(image)}`;
        find("wallet").href = `lightning:${invoice.bolt11}`;
    }
    const now = Date.parse(response.headers.get("Date")) || Date.now();
    expiry = performance.now() + Date.parse(invoice.expires_at) - now;
    showTimeLeft();
    show(invoice.state);
    return true;
}

function showRejection(response) {
    find("reason").textContent = response.body?.message ?? "";
    show(response.status === 401 ? "signed-out" : "rejected");
}

// Ask until the invoice is paid. The first response comes at once, the others when the state changes: or at once too, if
// many others wait.
async function watch() {
    for (let wait = ""; ;) {
        const response = await get(path + wait);
        const shown = response.ok && await showInvoice(response);
        // 429 is nginx's.
        const busy = response.status === 0 || response.status === 429 || response.status >= 500;
        find("offline").hidden = response.ok ? shown : !busy;
        if (!response.ok && !busy) {
            showRejection(response);
            return;
        }
        if (shown && response.body.state === "paid") {
            return;
        }
        const open = shown && response.body.state === "open";
        const pause = open ? SECOND_MILLISECONDS : shown ? EXPIRED_MILLISECONDS : RETRY_MILLISECONDS;
        if (wait || !open) {
            await new Promise((resolve) => setTimeout(resolve, pause));
        }
        wait = open ? `?wait=${WAIT_SECONDS}` : "";
    }
}

setInterval(showTimeLeft, SECOND_MILLISECONDS);
watch();
