// The addresses of jobs within the operators' page. A search is part of the address, so that it can be shared.

/** The filters of a search, named as in the API. */
export const FILTERS = ["q", "job", "state", "user_id", "event_type", "from", "to", "error_group"];

/** The address of a search; empty filters are left out. */
export function searchAddress(filters) {
  const query = new URLSearchParams(FILTERS.filter((name) => filters[name]).map((name) => [name, filters[name]]));
  return query.size ? `#/jobs?${query}` : "#/jobs";
}

/** The filters of a search address. */
export const filtersOf = (query) => Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));

export const jobAddress = ({ job, event_id: eventId }) => `#/jobs/${job}/${eventId}`;
