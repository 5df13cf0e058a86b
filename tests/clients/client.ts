// Calls the service with the client of openapi-fetch and prints what it got as JSON.
import createClient from "openapi-fetch";
import type {components, paths} from "./schema.js";

// Of Node.js, without all of its types.
declare const process: {argv: string[]};

type Payment = components["schemas"]["Payment"];
type PaymentInput = components["schemas"]["PaymentInput"];

const [baseUrl, token] = process.argv.slice(2);
const {GET, POST, PUT, DELETE} = createClient<paths>({baseUrl, headers: {Authorization: `Bearer ${token}`}});

const body: PaymentInput = {
    method_id: "01950000-0000-7000-8000-000000000001",
    currency_id: "01950000-0000-7000-8000-000000000101",
    amount: 12,
};
const headers = {"Idempotency-Key": "key-1"};

const empty = await GET("/payments");
const created = await POST("/payments", {body, params: {header: headers}});
const replayed = await POST("/payments", {body, params: {header: headers}});
const payment_id = created.data!.id;
const path = {payment_id};
const listed = await GET("/payments", {params: {query: {limit: 10}}});
const payments: Payment[] = listed.data ?? [];
const etag = created.response.headers.get("ETag") ?? "";
const change = {params: {path, header: {"If-Match": etag}}, body: {...payments[0]!, amount: 13}};
const updated = await PUT("/payments/{payment_id}", change);
const outdated = await PUT("/payments/{payment_id}", change);
const invalid = await POST("/payments", {body: {...body, amount: -1}});
const linked = await POST("/payments/ticket-payments", {body: {payment_id, ticket_id: "ticket-1"}});
const history = await GET("/payments/{payment_id}/history", {params: {path}});
const tickets = (history.data ?? []).map(({after}) => after && "ticket_id" in after ? after.ticket_id : null);
const query = {paymentId: payment_id, ticketId: "ticket-1"};
const unlinked = await DELETE("/payments/ticket-payments", {params: {query}});
const deleted = await DELETE("/payments/{payment_id}", {params: {path}});

console.log(JSON.stringify({
    empty: [empty.response.status, empty.data ?? null],
    created: [created.response.status, created.data?.message],
    replayed: [replayed.response.status, replayed.data?.id === payment_id],
    listed: [listed.response.status, payments.map(({amount}) => amount)],
    updated: [updated.response.status, updated.data],
    outdated: [outdated.response.status, outdated.error?.code],
    invalid: [invalid.response.status, invalid.error?.errors?.json?.amount],
    linked: [linked.response.status, linked.data?.ticketId],
    history: [history.response.status, tickets],
    unlinked: [unlinked.response.status, unlinked.data ?? null],
    deleted: [deleted.response.status, deleted.data ?? null],
}));
