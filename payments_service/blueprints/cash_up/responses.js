// What responses mean to the person who sees the page.

import {get} from "./api.js";
import {find, note, say} from "./elements.js";

export const READ = "payments_read";
export const CREATE = "payments_create";

export function explain(response) {
    if (response.status === 0) {
        return say("offline");
    }
    return response.body?.message ?? say("failed", {status: response.status});
}

// Return the messages of a 422 about single fields.
export function explainFields(errors) {
    if (typeof errors === "string") {
        return [errors];
    }
    return Object.values(errors ?? {}).flatMap(explainFields);
}

export function askToSignIn(response) {
    const rejected = response.headers.get("WWW-Authenticate")?.includes("invalid_token");
    find("sign-in-reason").textContent = rejected ? explain(response) : say("notSignedIn");
    find("sign-in").hidden = false;
}

export function show(section, ...content) {
    find(section).querySelector(".content").replaceChildren(...content);
}

// Show the content that a response makes, or why there is none.
export function showResponse(section, response, makeContent) {
    show(section, response.ok ? makeContent(response.body) : noteOf(response, READ));
}

export function noteOf(response, permission) {
    if (response.status === 401) {
        return note(say("signInFirst"));
    }
    return note(response.status === 403 ? say("notPermitted", {permission}) : explain(response));
}

// Return what turns the ids of methods and currencies into names.
export async function loadNames() {
    const [methods, currencies] = await Promise.all([get("payments/methods"), get("payments/currencies")]);
    const name = (list, id, key) => list?.find((item) => item.id === id)?.[key] ?? id;
    const method = (id) => name(methods.body, id, "name");
    const currency = (id) => name(currencies.body, id, "acronym");
    return {method, currency};
}
