// What the API returns (docs/reference/api.md), as far as the page reads it.

interface FailedGroup {
  job: string;
  state: "dead" | "retrying" | "discarded";
  error_group: string | null;
  example_error: string | null;
  count: number;
  last_seen: string;
}

interface Schedule {
  name: string;
  cron: string;
  timezone: string;
  paused: boolean;
  last_run: string | null;
  next_run: string | null;
}

type JobState = "scheduled" | "waiting" | "running" | "retrying" | "done" | "dead" | "cancelled" | "discarded" | "suppressed";

interface JobAttempt {
  number: number;
  worker: string;
  outcome: "done" | "retrying" | "dead" | "suppressed" | "running" | "interrupted";
  started_at: string;
  duration_ms: number | null;
  error: string | null;
  trace_id: string | null;
}

interface JobAudit {
  action: "replay" | "discard" | "retry" | "cancel";
  actor: string;
  at: string;
  reason: string | null;
  previous_state: JobState;
  previous_attempts: number;
}

interface Job {
  job: string;
  event_id: string;
  event_type: string;
  user_id: string | null;
  key: string | null;
  state: JobState;
  attempts: number;
  total_attempts: number;
  created_at: string;
  updated_at: string;
  next_attempt_at: string | null;
  error: string | null;
  error_group: string | null;
  attempt_log: JobAttempt[];
  audit: JobAudit[];
  payload: string | null;
  headers: Record<string, unknown> | null;
}

/** What a replay or discard applies to. */
interface JobSelection {
  job: string;
  state: string;
  error_group?: string;
  event_ids?: string[];
  limit?: number;
}

interface Report {
  id: string;
  kind: string;
  from: string;
  to: string;
  created_at: string;
}

interface OrderItem {
  sku: string;
  name: string;
  quantity: number;
  unit_price: number;
}

interface Order {
  id: string;
  currency: string;
  items: OrderItem[];
}

/** One panel of a dashboard, or of the live stream. */
interface PanelState {
  status: "fresh" | "stale" | "unavailable";
  data: any;
  error?: { code: string; retryable: boolean };
  age_ms?: number;
}
