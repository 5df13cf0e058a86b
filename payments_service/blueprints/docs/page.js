"use strict";

// Where the service is. Requests go there, whatever address a proxy made the document name.
const root = new URL(".", document.baseURI).href.replace(/\/$/, "");

// Asks for the sign-in again; set while it is shown.
let checkAgain = () => {};

// What Swagger UI itself shows of 45.50 is 45.5, and of 0.00000010 it is 1e-7.
function exactly(json) {
    const keep = (key, value, {source}) => typeof value === "number" ? JSON.rawJSON(source) : value;
    return JSON.stringify(JSON.parse(json, keep), null, 2);
}

// Each way to sign in names the same permission.
function permissions(operation) {
    return [...new Set(operation.get("security")?.toJS().flatMap(Object.values).flat())].join(", ");
}

// The document as it is shown: a page cannot set the header Cookie, so nobody can enter a token for it.
function adapt(shown) {
    const schemes = Object.entries(shown.components.securitySchemes).filter(([, scheme]) => scheme.in !== "cookie");
    const components = {...shown.components, securitySchemes: Object.fromEntries(schemes)};
    return {...shown, servers: [{url: root}], components};
}

// Says whether the service accepts the token that was entered or, without one, the browser's cookie.
async function describeSignIn(token) {
    const entered = {headers: {Authorization: `Bearer ${token}`}, credentials: "omit"};
    let response;
    try {
        response = await fetch(`${root}/payments/methods`, token ? entered : {});
    } catch {
        return "The service does not respond.";
    }
    if (response.status === 401) {
        const rejected = response.headers.get("WWW-Authenticate")?.includes("invalid_token");
        return `Not signed in. ${rejected ? (await response.json()).message : "Authorize with an access token."}`;
    }
    if (response.ok || response.status === 403) {
        return token
            ? "Signed in with the token that you entered."
            : "Signed in with this browser's cookie. Commands for curl take the token from $ACCESS_TOKEN.";
    }
    return `The service cannot tell whether you are signed in: ${response.status}.`;
}

function plugin({React, getComponent}) {
    const make = React.createElement;

    function SignIn({token}) {
        const [text, setText] = React.useState("");
        const [checks, setChecks] = React.useState(0);
        React.useEffect(() => {
            let shown = true;
            describeSignIn(token).then((said) => shown && setText(said));
            checkAgain = () => setChecks(checks + 1);
            return () => { shown = false; };
        }, [token, checks]);
        return make("p", {className: "sign-in", role: "status"}, text);
    }

    return {
        statePlugins: {
            spec: {wrapActions: {updateJsonSpec: (update) => (shown) => update(adapt(shown))}},
        },
        wrapComponents: {
            AuthorizeBtnContainer: (Button) => (props) => {
                const entered = props.authSelectors.authorized().first()?.get("value");
                return make(React.Fragment, null, make(SignIn, {token: entered}), make(Button, props));
            },
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

function prepareRequest(request) {
    if (request.headers.Authorization) {
        // Without the cookie, which may be another user's.
        request.credentials = "omit";
        request.curlOptions = [];
    } else {
        // A page cannot read the cookie. Swagger UI quotes no option that begins with a hyphen.
        request.curlOptions = ['-H "Cookie: accessToken=$ACCESS_TOKEN"'];
    }
    return request;
}

function noticeResponse(response) {
    if (response.status === 401) {
        checkAgain();
    }
    return response;
}

document.addEventListener("visibilitychange", () => document.hidden || checkAgain());

SwaggerUIBundle({
    url: `${root}/openapi.json`,
    dom_id: "#page",
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: prepareRequest,
    responseInterceptor: noticeResponse,
    plugins: [plugin],
});
