// Amounts are text as the service writes it, or whole minor units as BigInt. JavaScript's numbers are binary floats.

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

// Parse JSON, with the text of each number in place of the number.
export function parseJSON(text) {
    return JSON.parse(text.replace(STRING_OR_NUMBER, (token) => token.startsWith('"') ? token : `"${token}"`));
}

// A number that is sent as it is written.
export class ExactNumber {
    constructor(text) {
        this.text = text;
    }
}

// Write JSON, with each ExactNumber as a number.
export function writeJSON(value) {
    if (value instanceof ExactNumber) {
        return value.text;
    }
    if (Array.isArray(value)) {
        return `[${value.map(writeJSON).join(",")}]`;
    }
    if (typeof value === "object" && value !== null) {
        const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${writeJSON(item)}`);
        return `{${members.join(",")}}`;
    }
    return JSON.stringify(value);
}

// Return what a person typed as the text of a JSON number, null if it is none. Keyboards of some tablets have only a
// comma, so it counts as the decimal point. Nothing separates thousands.
export function readAmount(typed) {
    const text = typed.trim().replace(",", ".");
    return /^\d{1,15}(\.\d+)?$/.test(text) ? text.replace(/^0+(?=\d)/, "") : null;
}

function decimalsOf(text) {
    return (text.split(".")[1] ?? "").length;
}

// Return an amount in units of 10 to the power of -decimals.
function toUnits(text, decimals) {
    const [whole, fraction = ""] = text.split(".");
    return BigInt(whole + fraction.padEnd(decimals, "0"));
}

function toText(units, decimals) {
    const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, "0");
    const split = digits.length - decimals;
    const fraction = decimals ? `.${digits.slice(split)}` : "";
    return `${units < 0n ? "-" : ""}${digits.slice(0, split)}${fraction}`;
}

// Return the sum of some amounts of one currency.
export function add(amounts) {
    const decimals = Math.max(...amounts.map(decimalsOf));
    return toText(amounts.reduce((sum, amount) => sum + toUnits(amount, decimals), 0n), decimals);
}

export function negate(amount) {
    return amount.startsWith("-") ? amount.slice(1) : `-${amount}`;
}

// Return -1, 0 or 1.
export function sign(amount) {
    if (!/[1-9]/.test(amount)) {
        return 0;
    }
    return amount.startsWith("-") ? -1 : 1;
}

// Return where the bar of each amount begins and how long it is, in per cent of the width of all.
export function makeBars(amounts) {
    const decimals = Math.max(...amounts.map(decimalsOf));
    const units = amounts.map((amount) => toUnits(amount, decimals));
    const lowest = units.reduce((low, unit) => unit < low ? unit : low, 0n);
    const highest = units.reduce((high, unit) => unit > high ? unit : high, 0n);
    const span = highest - lowest || 1n;
    const percent = (unit) => Number(unit * 1000n / span) / 10;
    return units.map((unit) => ({
        begin: percent((unit < 0n ? unit : 0n) - lowest),
        length: percent(unit < 0n ? -unit : unit),
    }));
}
