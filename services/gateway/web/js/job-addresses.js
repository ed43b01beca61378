// The addresses of jobs, users and audit entries within the operators' page. A search is part of the address, so that it can be shared.

/** The filters of a search, named as in the API. */
export const FILTERS = ["q", "job", "state", "user_id", "event_type", "from", "to", "error_group"];

/**
 * The address of a search; empty filters are left out.
 * @param {Record<string, string | null | undefined>} filters
 */
export const searchAddress = (filters) => withQuery("#/jobs", FILTERS, filters);

/**
 * @param {string} path
 * @param {string[]} names
 * @param {Record<string, string | null | undefined>} filters
 */
function withQuery(path, names, filters) {
  const query = new URLSearchParams(/** @type {[string, string][]} */ (names.filter((name) => filters[name]).map((name) => [name, filters[name]])));
  return query.size ? `${path}?${query}` : path;
}

/**
 * The address of the last hour of a job; without one, of all jobs.
 * @param {string} job
 */
export const historyAddress = (job) => withQuery("#/history", ["job"], { job });

/** The filters of the audit log, named as in the API. */
export const AUDIT_FILTERS = ["action", "actor_id", "subject_id", "from", "to"];
/** @param {Record<string, string | null | undefined>} filters */
export const auditAddress = (filters) => withQuery("#/audit", AUDIT_FILTERS, filters);

/** @param {string} q */
export const usersAddress = (q) => withQuery("#/users", ["q"], { q });
/** @param {string} id */
export const userAddress = (id) => `#/users/${id}`;

/** @param {{job: string, event_id: string}} job */
export const jobAddress = ({ job, event_id: eventId }) => `#/jobs/${job}/${eventId}`;
