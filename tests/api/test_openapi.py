"""/openapi.json, compared with the routes and the API page"""
import re

import pytest

from payments_service.blueprints import PAGES

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.operations import OPERATIONS
from ..support.payments import CASH, EUR
from ..support.tokens import make_token

pytestmark = on_one_engine

PUBLIC = {"/openapi.json", "/health/live", "/health/ready", "/metrics", "/payments/lightning/wake"}


@pytest.fixture
def document(app):
    response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    return response.json


@pytest.fixture
def operations(document):
    """Return the operations that need a token, by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and path not in PUBLIC
    }


def references(node):
    """Yield every $ref below a node of the document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_openapi_3_1_and_needs_no_token(document):
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "Payments"


def test_every_route_is_documented_except_those_of_pages(app, document):
    pages = {blp.name for blp in PAGES}
    routes = {
        (method, re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.split(".")[0] not in pages
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    documented = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert routes == documented
    assert len(documented) == len(OPERATIONS) + len(PUBLIC)


def test_every_operation_has_a_name_for_generated_clients(document):
    names = {
        (method.upper(), path): operation["operationId"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert names == {
        ("GET", "/payments"): "listPayments",
        ("GET", "/payments/{payment_id}"): "getPayment",
        ("GET", "/payments/{payment_id}/history"): "listPaymentHistory",
        ("POST", "/payments"): "createPayment",
        ("PUT", "/payments/{payment_id}"): "updatePayment",
        ("DELETE", "/payments/{payment_id}"): "deletePayment",
        ("POST", "/payments/{payment_id}/refunds"): "createRefund",
        ("GET", "/payments/{payment_id}/refunds"): "listRefunds",
        ("DELETE", "/payments/{payment_id}/refunds/{refund_id}"): "deleteRefund",
        ("GET", "/payments/methods"): "listPaymentMethods",
        ("GET", "/payments/methods/{method_id}"): "getPaymentMethod",
        ("GET", "/payments/currencies"): "listCurrencies",
        ("GET", "/payments/currencies/{currency_id}"): "getCurrency",
        ("POST", "/payments/ticket-payments"): "linkTicket",
        ("GET", "/payments/ticket-payments/by-ticket/{ticket_id}"): "listPaymentsOfTicket",
        ("GET", "/payments/ticket-payments/by-payment/{payment_id}"): "listTicketsOfPayment",
        ("GET", "/payments/ticket-payments/balance/{ticket_id}"): "getBalanceOfTicket",
        ("DELETE", "/payments/ticket-payments"): "unlinkTicket",
        ("DELETE", "/payments/ticket-payments/by-ticket/{ticket_id}"): "unlinkPaymentsOfTicket",
        ("GET", "/payments/takings"): "getTakings",
        ("GET", "/payments/closings/next"): "getOpenClosing",
        ("GET", "/payments/closings/next/postings"): "listOpenPostings",
        ("GET", "/payments/closings/next/count-sheet"): "getCountSheet",
        ("POST", "/payments/closings"): "createClosing",
        ("GET", "/payments/closings"): "listClosings",
        ("GET", "/payments/closings/{number}"): "getClosing",
        ("GET", "/payments/closings/{number}/postings"): "listPostingsOfClosing",
        ("GET", "/payments/closings/{number}/archive"): "getArchiveOfClosing",
        ("POST", "/payments/cash-movements"): "createCashMovement",
        ("GET", "/payments/cash-movements"): "listCashMovements",
        ("PUT", "/payments/lightning/{invoice_id}"): "createLightningInvoice",
        ("GET", "/payments/lightning/{invoice_id}"): "getLightningInvoice",
        ("GET", "/payments/lightning"): "listLightningInvoices",
        ("DELETE", "/payments/lightning/{invoice_id}"): "withdrawLightningInvoice",
        ("GET", "/payments/lightning/{invoice_id}/qr"): "getQrOfLightningInvoice",
        ("POST", "/payments/lightning/wake"): "wakeSettling",
        ("GET", "/openapi.json"): "getOpenapiDocument",
        ("GET", "/health/live"): "getLiveness",
        ("GET", "/health/ready"): "getReadiness",
        ("GET", "/metrics"): "getMetrics",
    }
    assert len(set(names.values())) == len(names)


def test_names_of_schemas_do_not_collide_in_generated_code(document):
    names = set(document["components"]["schemas"])
    # Types of languages, and of generated clients themselves.
    assert not names & {"Error", "Exception", "Method", "Object", "Response", "Request", "Client", "ApiError"}
    # In Go, NewPayment is the function that makes a Payment.
    assert not [name for name in names if name.startswith("New")]
    # For createPayment, clients have types such as CreatePaymentResponse.
    operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()
                  if "operationId" in operation]
    assert not [name for name in names if name.startswith(tuple(name[0].upper() + name[1:] for name in operations))]


def schemas_below(document, node):
    """Yield the names of the schemas that a node of the document refers to, directly or indirectly."""
    for reference in references(node):
        name = reference.removeprefix("#/components/schemas/")
        yield name
        yield from schemas_below(document, document["components"]["schemas"][name])


def test_only_requests_reject_additional_fields(document, operations):
    bodies = [operation["requestBody"] for operation in operations.values() if "requestBody" in operation]
    inputs = set(schemas_below(document, bodies))
    assert inputs == {
        "PaymentInput", "PaidTicket", "ChangedPayment", "RefundInput", "TicketPaymentInput", "ClosingInput", "Count",
        "CashMovementInput", "LightningInvoiceInput",
    }
    outputs = set(schemas_below(document, [operation["responses"] for operation in operations.values()]))
    assert not inputs & outputs
    closed = {name for name, schema in document["components"]["schemas"].items() if not open_to_more(schema)}
    assert closed == inputs


def open_to_more(schema):
    """Tell whether a schema allows fields that it does not name."""
    return schema.get("additionalProperties") is not False


def test_every_schema_is_used(document):
    assert set(document["components"]["schemas"]) == set(schemas_below(document, document["paths"]))


def test_no_field_has_a_default_that_clients_would_send(document):
    fields = [field for schema in document["components"]["schemas"].values() for field in schema["properties"].values()]
    assert not [field for field in fields if "default" in field]
    assert "transaction_id" not in document["components"]["schemas"]["PaymentInput"]["required"]


def test_the_history_says_what_was_before_and_after(document):
    entry = document["components"]["schemas"]["HistoryEntry"]["properties"]
    for name in ("before", "after"):
        kinds = [kind.get("$ref", kind.get("type")) for kind in entry[name]["anyOf"]]
        assert kinds == [*(f"#/components/schemas/{noun}" for noun in ("Payment", "TicketPayment", "Refund")), "null"]


def test_the_errors_of_fields_are_typed(document):
    errors = document["components"]["schemas"]["ErrorBody"]["properties"]["errors"]
    assert errors["additionalProperties"]["additionalProperties"] == {"type": "array", "items": {"type": "string"}}


def test_it_names_a_contact(document):
    assert document["info"]["contact"]["name"]


def test_only_what_shows_nothing_of_anybodys_needs_no_token(document):
    assert PUBLIC == {
        path
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and operation["security"] == []
    }


def test_every_operation_names_the_pages_permission(app, operations):
    page = {}
    for method, path, permission in OPERATIONS:
        with app.test_request_context(path, method=method) as context:
            page[method, re.sub(r"<\w+:(\w+)>", r"{\1}", context.request.url_rule.rule)] = permission
    assert {key: operation["security"] for key, operation in operations.items()} == {
        key: [{"accessToken": [permission]}, {"bearerAuth": [permission]}] for key, permission in page.items()
    }


def test_every_operation_names_its_permission(operations):
    for operation in operations.values():
        permission = operation["security"][0]["accessToken"][0]
        assert operation["description"].endswith(f"Needs the permission `{permission}`.")
    assert operations["GET", "/payments/methods"]["description"].startswith("Oldest first.\n\n")


def test_the_token_is_described_as_a_cookie_and_as_a_header(document):
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"accessToken", "bearerAuth"}
    cookie, header = schemes["accessToken"], schemes["bearerAuth"]
    assert (cookie["type"], cookie["in"], cookie["name"]) == ("apiKey", "cookie", "accessToken")
    assert (header["type"], header["scheme"], header["bearerFormat"]) == ("http", "bearer", "JWT")


def has_parameter(operation, place, name=None):
    """Tell whether an operation has a parameter in a place, if wanted of a name."""
    return any(
        parameter["in"] == place and name in (None, parameter["name"]) for parameter in operation.get("parameters", [])
    )


# Those that do not follow from what an operation takes.
FURTHER_ERRORS = {
    ("POST", "/payments"): {"409"},
    ("POST", "/payments/ticket-payments"): {"409"},
    ("POST", "/payments/closings"): {"409"},
    ("PUT", "/payments/{payment_id}"): {"409"},
    ("DELETE", "/payments/{payment_id}"): {"409"},
    ("POST", "/payments/{payment_id}/refunds"): {"409"},
    ("DELETE", "/payments/ticket-payments"): {"404"},
}


def test_every_operation_documents_its_errors(operations):
    for (method, path), operation in operations.items():
        expected = {"401", "403", "503"} | FURTHER_ERRORS.get((method, path), set())
        if "requestBody" in operation:
            expected |= {"400", "413", "415", "422"}
        if "{" in path:
            expected |= {"404"}
        if has_parameter(operation, "header", "If-Match"):
            expected |= {"412"}
        if has_parameter(operation, "query"):
            expected |= {"422"}
        found = {code for code in operation["responses"] if code >= "400"}
        if (method, path) in FURTHER_ERRORS:
            assert found == expected, (method, path)
        else:
            # The tests of a noun know its further conflicts.
            assert expected <= found <= expected | {"409"}, (method, path)


def test_every_error_has_the_same_schema(operations):
    for operation in operations.values():
        for code, response in operation["responses"].items():
            if code >= "400":
                assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


def test_the_example_of_every_error_has_its_status(operations):
    for operation in operations.values():
        for code, response in operation["responses"].items():
            if code >= "400" and code != "422":
                assert response["content"]["application/json"]["example"]["code"] == int(code)


def test_every_success_with_a_body_has_a_schema_and_an_example(operations):
    for key, operation in operations.items():
        for code in operation["responses"].keys() & {"200", "201"}:
            contents = operation["responses"][code]["content"]
            assert contents and all(content.keys() == {"schema", "example"} for content in contents.values()), key


def test_every_operation_has_a_summary(operations):
    assert all(operation["summary"] for operation in operations.values())


def test_every_reference_leads_somewhere(document):
    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_the_examples_of_requests_are_accepted(client, operations, add_payment):
    body = operations["POST", "/payments"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/payments", json=body).status_code == 201
    body = operations["PUT", "/payments/{payment_id}"]["requestBody"]["content"]["application/json"]["example"]
    payment_id = add_payment()
    assert client.put(f"/payments/{payment_id}", json=body | {"transaction_id": "txn-2"}).status_code == 200
    body = operations["POST", "/payments/ticket-payments"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/payments/ticket-payments", json=body | {"payment_id": payment_id}).status_code == 201
    body = operations["POST", "/payments/{payment_id}/refunds"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post(f"/payments/{payment_id}/refunds", json=body).status_code == 201
    for path in ("/payments/cash-movements", "/payments/closings"):
        body = operations["POST", path]["requestBody"]["content"]["application/json"]["example"]
        assert client.post(path, json=body).status_code == 201


def test_the_examples_of_responses_have_the_real_fields(client, operations, add_payment, link):
    client.post("/payments/closings", json={})
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    refund = {"amount": 1, "reason": "Cold soup", "ticket_id": "ticket-1"}
    client.post(f"/payments/{payment_id}/refunds", json=refund | {"transaction_id": None})
    movement = operations["POST", "/payments/cash-movements"]["requestBody"]["content"]["application/json"]["example"]
    client.post("/payments/cash-movements", json=movement)
    client.post("/payments/closings", json={"counts": [{"method_id": CASH, "currency_id": EUR, "counted": 1}]})
    for path, real in {
        "/payments/cash-movements": "/payments/cash-movements",
        "/payments/closings": "/payments/closings?after=1",
        "/payments/closings/{number}": "/payments/closings/2",
        "/payments/closings/next": "/payments/closings/next",
        "/payments/closings/next/count-sheet": "/payments/closings/next/count-sheet",
        "/payments/closings/{number}/postings": "/payments/closings/2/postings",
        "/payments/takings": "/payments/takings",
        "/payments": "/payments",
        "/payments/{payment_id}": f"/payments/{payment_id}",
        "/payments/{payment_id}/history": f"/payments/{payment_id}/history",
        "/payments/{payment_id}/refunds": f"/payments/{payment_id}/refunds",
        "/payments/ticket-payments/balance/{ticket_id}":
            f"/payments/ticket-payments/balance/ticket-1?currency_id={EUR}&total=52.40",
        "/payments/methods": "/payments/methods",
        "/payments/currencies": "/payments/currencies",
        "/payments/ticket-payments/by-ticket/{ticket_id}": "/payments/ticket-payments/by-ticket/ticket-1",
        "/payments/ticket-payments/by-payment/{payment_id}": f"/payments/ticket-payments/by-payment/{payment_id}",
    }.items():
        example = operations["GET", path]["responses"]["200"]["content"]["application/json"]["example"]
        answer = client.get(real).json
        assert type(example) is type(answer)
        for one, other in zip(example, answer) if isinstance(answer, list) else [(example, answer)]:
            assert one.keys() == other.keys()
            assert types_of(one) == types_of(other)


def types_of(shown):
    """Return the types of the fields of an object, also below the first item of each list."""
    return {
        name: types_of(value[0]) if isinstance(value, list) and value and isinstance(value[0], dict) else type(value)
        for name, value in shown.items()
    }


def test_the_descriptions_of_empty_lists_are_those_of_the_page(operations):
    for path, sentence in {
        "/payments": "No payments found",
        "/payments/methods": "No payment methods found",
        "/payments/currencies": "No currencies found",
    }.items():
        assert operations["GET", path]["responses"]["204"]["description"] == sentence


def test_the_documented_success_messages_are_the_real_ones(client, operations, add_payment):
    example = operations["POST", "/payments"]["responses"]["201"]["content"]["application/json"]["example"]
    body = operations["POST", "/payments"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/payments", json=body).json["message"] == example["message"]
    example = operations["PUT", "/payments/{payment_id}"]["responses"]["200"]["content"]["application/json"]["example"]
    assert client.put(f"/payments/{add_payment()}", json=body | {"transaction_id": ""}).json == example


def test_optional_parameters_have_no_examples(operations):
    parameters = [parameter for operation in operations.values() for parameter in operation.get("parameters", [])]
    optional = [parameter for parameter in parameters if not parameter.get("required")]
    assert optional
    assert not [parameter for parameter in optional if "example" in parameter | parameter["schema"]]


def test_the_headers_that_a_request_may_carry_are_documented(operations):
    named = {
        key: [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"]
        for key, operation in operations.items()
    }
    # A POST records something, so it is idempotent.
    idempotent = {(method, path): ["Idempotency-Key"] for method, path in operations if method == "POST"}
    assert {key: names for key, names in named.items() if names} == idempotent | {
        ("GET", "/payments/{payment_id}"): ["If-None-Match"],
        ("PUT", "/payments/{payment_id}"): ["If-Match"],
        ("DELETE", "/payments/{payment_id}"): ["If-Match"],
    }


def test_the_headers_of_responses_are_documented(operations):
    named = {
        (*key, code): list(response["headers"])
        for key, operation in operations.items()
        for code, response in operation["responses"].items()
        if code != "503" and "headers" in response
    }
    lists = {
        (*key, "200"): ["Link"] for key, operation in operations.items() if has_parameter(operation, "query", "limit")
    }
    keyed = [
        named.pop((*key, "201"))
        for key, operation in operations.items()
        if has_parameter(operation, "header", "Idempotency-Key")
    ]
    assert all("Location" in headers and "Idempotency-Replayed" in headers for headers in keyed)
    assert len(lists) >= 4
    assert named == lists | {
        ("PUT", "/payments/{payment_id}", "200"): ["ETag"],
        ("GET", "/payments/{payment_id}", "200"): ["ETag"],
        ("GET", "/payments/{payment_id}", "304"): ["ETag"],
        ("PUT", "/payments/{payment_id}", "412"): ["ETag"],
        ("DELETE", "/payments/{payment_id}", "412"): ["ETag"],
        ("GET", "/payments/closings/{number}/archive", "200"): ["Content-Disposition"],
    }


def test_the_errors_of_an_idempotency_key_are_documented(operations):
    for path in ("/payments", "/payments/ticket-payments", "/payments/closings", "/payments/cash-movements"):
        responses = operations["POST", path]["responses"]
        assert all("Idempotency-Key" in responses[code]["description"] for code in ("400", "422"))
    assert "Idempotency-Key" not in operations["PUT", "/payments/{payment_id}"]["responses"]["400"]["description"]


def test_a_token_does_not_change_the_document(app, document):
    assert client_of(app, make_token()).get("/openapi.json").json == document
