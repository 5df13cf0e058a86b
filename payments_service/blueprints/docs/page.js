"use strict";

// What Swagger UI itself shows of 45.50 is 45.5, and of 0.00000010 it is 1e-7.
function exactly(json) {
    const keep = (key, value, {source}) => typeof value === "number" ? JSON.rawJSON(source) : value;
    return JSON.stringify(JSON.parse(json, keep), null, 2);
}

// Each way to sign in names the same permission.
function permissions(operation) {
    return [...new Set(operation.get("security")?.toJS().flatMap(Object.values).flat())].join(", ");
}

function plugin({React, getComponent}) {
    const make = React.createElement;
    return {
        wrapComponents: {
            OperationSummaryPath: (Path) => (props) => make(
                React.Fragment,
                null,
                make(Path, props),
                make("span", {className: "permission"}, permissions(props.operationProps)),
            ),
            responseBody: (Body) => (props) => {
                // Browsers older than 2025 do not know it.
                if (!JSON.rawJSON || props.contentType !== "application/json") {
                    return make(Body, props);
                }
                const code = make(getComponent("HighlightCode", true), {language: "json"}, exactly(props.content));
                return make("div", null, make("h5", null, "Response body"), code);
            },
        },
    };
}

SwaggerUIBundle({
    url: new URL("openapi.json", document.baseURI).href,
    dom_id: "#page",
    deepLinking: true,
    validatorUrl: null,
    plugins: [plugin],
});
