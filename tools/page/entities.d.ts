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

interface JobSummary {
  job: string;
  event_id: string;
  event_type: string;
  user_id: string | null;
  key: string | null;
  state: JobState;
  attempts: number;
  created_at: string;
  updated_at: string;
  next_attempt_at: string | null;
  error: string | null;
  error_group: string | null;
}

interface Job extends JobSummary {
  total_attempts: number;
  attempt_log: JobAttempt[];
  audit: JobAudit[];
  payload: string | null;
  headers: Record<string, unknown> | null;
}

/** What a replay or discard applies to. */
interface JobSelection {
  job?: string;
  state?: string;
  error_group?: string;
  event_ids?: string[];
  limit?: number;
  as_of?: string;
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

type OrderStatus = "created" | "paid" | "shipped" | "cancelled";

interface OrderSummary {
  id: string;
  user_id?: string;
  currency: string;
  status: OrderStatus;
  total: number | bigint;
  item_count: number;
  created_at: string;
}

interface Order extends OrderSummary {
  items: OrderItem[];
}

interface OrderChange {
  status: OrderStatus;
  at: string;
}

/** Minor units by currency. */
type Amounts = Record<string, number | bigint>;

interface OrderSums {
  orders: number;
  revenue: Amounts | null;
}

type DayOfOrders = OrderSums & { day: string };

interface Analytics extends OrderSums {
  average_order: Amounts | null;
  by_currency?: Record<string, number>;
  by_status?: Record<string, number>;
  last_order_at: string | null;
  daily: DayOfOrders[];
}

/** A notification. */
interface Note {
  id: string;
  title: string;
  body: string;
  read: boolean;
  subject?: { kind: string; id: string } | null;
  created_at: string;
}

interface Webhook {
  id: string;
  url: string;
  description: string | null;
  events: string[];
  enabled: boolean;
  disabled_reason: string | null;
  disabled_at: string | null;
  failing_since: string | null;
}

interface Delivery {
  id: string;
  event_type: string;
  state: "pending" | "delivered" | "failed" | "cancelled";
  attempts: number;
  response_status: number | null;
  error: string | null;
  updated_at: string;
}

interface IdentityProvider {
  name: string;
  title: string;
}

interface Identity {
  id: string;
  provider: string;
  email: string | null;
  created_at: string;
  last_used_at: string | null;
}

interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  expires_at: string | null;
  last_used_at: string | null;
}

interface Session {
  id: string;
  device: string | null;
  address: string | null;
  created_at: string;
  last_seen_at: string;
  current: boolean;
}

interface MailSettings {
  kinds: Record<string, { mail: boolean }>;
  weekly_digest: boolean | null;
}

type ImportState = "queued" | "running" | "completed" | "failed" | "cancelled";

/** What the live stream tells of an import. */
interface ImportProgress {
  id: string;
  state: ImportState;
  rows_total: number;
  rows_done: number;
  rows_failed: number;
  rows_per_s: number | null;
  eta_s: number | null;
}

interface ImportStatus extends ImportProgress {
  filename: string | null;
  rows_repeated: number;
  errors_kept: number;
  error: string | null;
  cancel_requested: boolean;
  created_at: string;
  finished_at: string | null;
}

interface RowError {
  line: number;
  reference: string;
  field: string;
  message: string;
}

/** An account, as operators see it. */
interface Account {
  id: string;
  name: string;
  email: string;
  pending_email: string | null;
  email_verified: boolean;
  role: string;
  created_at: string;
  updated_at: string;
  suspended_at: string | null;
}

interface AccountDetail extends Account {
  sessions: number;
}

interface AuditEntry {
  id: string;
  action: string;
  actor_id: string | null;
  actor_role: string | null;
  subject_id: string | null;
  detail: string | null;
  address: string | null;
  created_at: string;
}

interface WorkerProcess {
  id: string;
  host: string;
  pid: number;
  version: string;
  started_at: string;
  seen_at: string;
  alive: boolean;
  consumers: string[];
  consumers_expected: number;
  in_progress: Record<string, number>;
}

interface JobMinute {
  at: string;
  done: number;
  retried: number;
  failed: number;
  median_ms: number | null;
}

/** The last hour of a job; minutes without attempts are left out. */
interface JobHistory extends Omit<JobMinute, "at"> {
  job: string;
  minutes: JobMinute[];
}

interface JobHistories {
  until: string;
  items: JobHistory[];
}

interface ProcessStatus {
  name: string;
  status: "ready" | "degraded" | "unavailable" | "unreachable";
  checks: Record<string, string>;
  error: string | null;
}

interface ServiceStatus {
  name: string;
  breaker: "closed" | "half_open" | "open";
  calls_in_flight: number;
}

interface PanelStatus {
  name: string;
  calls: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  stale: number;
  unavailable: number;
}

interface QueueStatus {
  name: string;
  messages: number;
  consumers: number;
}

interface OutboxStatus {
  service: string;
  rows: number | null;
  oldest_s: number | null;
}

/** `attempts` since the worker's start. */
interface JobStatus {
  job: string;
  attempts: number;
  retrying: number;
  dead: number;
}

interface SystemStatus {
  at: string;
  problems: string[];
  processes: ProcessStatus[];
  services: ServiceStatus[];
  panels: PanelStatus[];
  queues: QueueStatus[];
  outboxes: OutboxStatus[];
  jobs: JobStatus[];
  gateway: { streams: number; feed_connected: boolean; cache_hits: number; cache_misses: number; cache_entries: number };
}

/** A page of a list. */
interface PageOf<T> {
  items: T[];
  next_cursor: string | null;
}

/** One panel of a dashboard, or of the live stream. */
interface PanelState {
  status: "fresh" | "stale" | "unavailable";
  data: any;
  error?: { code: string; retryable: boolean };
  age_ms?: number;
}

/** An event of the session or of the live stream: what it tells depends on its name. */
interface Told extends Event {
  detail?: any;
}

// The chart library, as far as the page uses it.

interface PlotOptions {
  width: number;
  height: number;
  padding: number[];
  legend: object;
  cursor: object;
  scales: Record<string, { time?: boolean; range: (chart: uPlot, min: number, max: number) => number[] }>;
  axes: PlotAxis[];
  series: PlotSeries[];
  hooks?: { setCursor: ((chart: uPlot) => void)[] };
}

interface PlotAxis {
  stroke: string;
  font: string;
  grid: object;
  ticks: object;
  size: number;
  space?: number;
  incrs?: number[];
  splits?: () => number[];
  values: (chart: uPlot, splits: number[]) => string[];
}

interface PlotSeries {
  stroke?: string;
  fill?: string;
  width?: number;
  points?: object;
  paths?: object;
}

declare class uPlot {
  static paths: { bars: (options: object) => object };
  cursor: { idx: number | null | undefined; left: number };
  over: HTMLElement;
  constructor(options: PlotOptions, data: (number | null)[][], place: HTMLElement);
  setData(data: (number | null)[][]): void;
  setSize(size: { width: number; height: number }): void;
  destroy(): void;
  valToPos(value: number, scale: string): number;
}
