// Calls to the service.

import {parseJSON, writeJSON} from "./money.js";

// Where the service is. This file is at payments/cash-up/api.js below it, also where another program mounts it.
const root = new URL("../..", import.meta.url).href;

const TIMEOUT_MILLISECONDS = 60000;
const TOKEN = "accessToken";

// An entered token is kept until the tab is closed.
export function enterToken(token) {
    sessionStorage.setItem(TOKEN, token);
}

export function forgetToken() {
    sessionStorage.removeItem(TOKEN);
}

export function hasToken() {
    return sessionStorage.getItem(TOKEN) !== null;
}

// Send a request. Return the response, or null if there is none in time.
async function send(path, options = {}) {
    const token = sessionStorage.getItem(TOKEN);
    // Without the cookie, which may be another user's.
    const signIn = token ? {credentials: "omit"} : {};
    const headers = token ? {...options.headers, Authorization: `Bearer ${token}`} : options.headers;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), TIMEOUT_MILLISECONDS);
    try {
        const response = await fetch(root + path, {...options, ...signIn, headers, signal: controller.signal});
        return {status: response.status, headers: response.headers, content: await response.blob()};
    } catch {
        return null;
    } finally {
        clearTimeout(timer);
    }
}

async function read(response) {
    if (!response) {
        return {status: 0, ok: false, headers: new Headers(), body: null};
    }
    const text = await response.content.text();
    let body = null;
    try {
        body = text && parseJSON(text);
    } catch {
        // A proxy's own page.
    }
    return {status: response.status, ok: response.status < 300, headers: response.headers, body: body || null};
}

// Return the status, whether it is a success, the headers and the JSON of a response, with numbers as text.
export async function get(path) {
    return read(await send(path));
}

// Return the text of a response, null without a success.
export async function getText(path) {
    const response = await send(path);
    return response?.status === 200 ? response.content.text() : null;
}

export async function post(path, body, key) {
    const headers = {"Content-Type": "application/json", "Idempotency-Key": key};
    return read(await send(path, {method: "POST", headers, body: writeJSON(body)}));
}

// Save a response as a file. Return its status.
export async function download(path, name) {
    const response = await send(path);
    if (response?.status !== 200) {
        return response?.status ?? 0;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(response.content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), TIMEOUT_MILLISECONDS);
    return response.status;
}

// Return a new Idempotency-Key. Browsers have crypto.randomUUID only with TLS.
function makeKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Sends what a form says. A retry of the same body has the same Idempotency-Key until there is a success.
export class Sender {
    constructor(path) {
        this.path = path;
        this.busy = false;
        this.sent = null;
        this.key = null;
    }

    // Whether something was sent without success.
    isOpen() {
        return this.sent !== null;
    }

    forget() {
        this.sent = null;
    }

    async send(body) {
        this.busy = true;
        const text = writeJSON(body);
        if (text !== this.sent) {
            this.sent = text;
            this.key = makeKey();
        }
        try {
            const response = await post(this.path, body, this.key);
            if (response.ok) {
                // The same values again are another request.
                this.forget();
            }
            return response;
        } finally {
            this.busy = false;
        }
    }
}
