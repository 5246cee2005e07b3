// Figures and times as people read them. The same words as the filters in webapp/templatetags/house.py.

const grouped = new Map();

/** 35710 -> "35,710"; a dash where there is none. */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!grouped.has(digits)) {
    grouped.set(
      digits,
      new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
    );
  }
  return grouped.get(digits).format(value);
}

/** Units a second: 73.4, 812. */
export function rate(value) {
  return number(value, value >= 100 ? 0 : 1);
}

/** 0.8312 -> "83.1 %". */
export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
}

const UNITS = [
  [86400, "d", 3600, "h"],
  [3600, "h", 60, "min"],
  [60, "min", 1, "s"],
];

/** Seconds -> "42 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  for (const [size, unit, small, smallUnit] of UNITS) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / small);
      return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
    }
  }
  return `${whole} s`;
}

/** Bytes -> "1.5 GB". */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(value) < 1000) {
      return `${value.toFixed(unit === "B" || value >= 100 ? 0 : 1)} ${unit}`;
    }
    value /= 1000;
  }
  return `${number(value, 1)} TB`;
}

const AGO = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [86400, 3600, "hour"],
  [86400 * 30, 86400, "day"],
  [86400 * 365, 86400 * 30, "month"],
  [Infinity, 86400 * 365, "year"],
];

/** Seconds since -> "3 minutes ago", "in 2 hours". */
export function ago(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 10) return "just now";
  const [, step, unit] = AGO.find(([limit]) => distance < limit);
  const count = Math.floor(distance / step);
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}
