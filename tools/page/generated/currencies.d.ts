// The module that the gateway makes from shared/money.py (`CURRENCIES` in services/gateway/api/page.py).
export const MINOR_DIGITS: Record<string, number>;
export const OTHER_DIGITS: number;
