"""Pages for people: their files and headers."""
import flask

# A page runs only its own files and calls only this service: the browser holds the access token.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # Not no-referrer: browsers without Sec-Fetch-Site would send no usable Origin, and check_origin needs one.
    "Referrer-Policy": "same-origin",
}


def send_page(folder: str) -> flask.Response:
    """Return the response with the `page.html` of a folder. A browser may cache it, and revalidates it each time."""
    response = flask.send_from_directory(folder, "page.html")
    response.headers.update(HEADERS)
    return response
