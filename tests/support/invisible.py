"""Characters that show nothing, as point-of-sale systems, scanners and copied texts have them"""

INVISIBLE = [
    *" \t\n\r\v\f\x01\x1f\x7f\x85",
    # Blanks.
    *"\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
    # Joiners, marks of direction, soft hyphens and byte order marks.
    *"\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\u2066\u206f\ufeff",
    # Letters, marks and symbols without a shape.
    *"\u034f\u115f\u1160\u17b4\u180b\u2800\u3164\ufe00\ufe0f\uffa0\U0001d159\U0001d173",
    # Tags, and further variations.
    *"\U000e0001\U000e0020\U000e007f\U000e0100\U000e01ef",
]
