"""The queries that a real Prometheus and varve must answer alike. They run on
some 40 seconds of a node_exporter and of Prometheus itself, scraped every
second. Every function, aggregation and matching form stands here at least once."""

INSTANT = """
up
up == 1
up{job="node"}
{job="node", __name__="up"}
{__name__=~"node_load.*"}
{__name__=~"node_load(1|5)"}
node_cpu_seconds_total{mode!="idle", cpu=~"0|1"}
node_cpu_seconds_total{mode!~"idle|user"}
node_cpu_seconds_total offset 5s
node_cpu_seconds_total offset -2s
node_load1 @ {t}
node_load1 @ {t} offset 3s
node_cpu_seconds_total{mode="idle"}[6s]
up[4s] offset 2s
no_such_metric
sum(node_cpu_seconds_total)
sum by (mode) (node_cpu_seconds_total)
sum without (cpu, instance) (node_cpu_seconds_total)
avg by (mode) (rate(node_cpu_seconds_total[10s]))
min by (cpu) (node_cpu_seconds_total)
max(node_cpu_seconds_total) by (mode)
count by (__name__) ({job="node"})
count({__name__=~".+"})
group by (mode) (node_cpu_seconds_total)
stddev by (mode) (node_cpu_seconds_total)
stdvar(node_cpu_seconds_total)
topk(3, node_cpu_seconds_total)
topk by (cpu) (1, node_cpu_seconds_total)
bottomk(2, node_cpu_seconds_total)
quantile(0.9, node_cpu_seconds_total)
quantile by (mode) (0.5, node_cpu_seconds_total)
count_values("value", up)
count_values by (job) ("v", prometheus_build_info)
rate(node_cpu_seconds_total[10s])
irate(node_cpu_seconds_total[10s])
increase(node_cpu_seconds_total[10s])
increase(prometheus_http_requests_total[15s])
delta(node_memory_MemFree_bytes[10s])
idelta(node_memory_MemFree_bytes[10s])
deriv(node_memory_MemFree_bytes[10s])
predict_linear(node_memory_MemFree_bytes[10s], 3600)
changes(node_memory_MemFree_bytes[15s])
resets(node_cpu_seconds_total[15s])
resets(node_memory_MemFree_bytes[15s])
avg_over_time(node_memory_MemFree_bytes[10s])
min_over_time(node_memory_MemFree_bytes[10s])
max_over_time(node_memory_MemFree_bytes[10s])
sum_over_time(node_memory_MemFree_bytes[10s])
count_over_time(node_memory_MemFree_bytes[10s])
quantile_over_time(0.7, node_memory_MemFree_bytes[10s])
stddev_over_time(node_memory_MemFree_bytes[10s])
stdvar_over_time(node_memory_MemFree_bytes[10s])
last_over_time(node_memory_MemFree_bytes[10s])
present_over_time(up[10s])
absent(no_such_metric{a="b", c=~"d"})
absent(up)
absent_over_time(no_such_metric{a="b"}[10s])
absent_over_time(up[10s])
histogram_quantile(0.9, prometheus_http_request_duration_seconds_bucket)
histogram_quantile(0.5, sum by (le) (prometheus_http_request_duration_seconds_bucket))
histogram_quantile(0.99, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[15s])))
histogram_quantile(2, prometheus_tsdb_compaction_chunk_range_seconds_bucket)
label_replace(up, "host", "$1", "instance", "(.*):.*")
label_replace(up, "job", "", "job", ".*")
label_join(up, "both", "-", "job", "instance")
abs(node_load1 - 5)
ceil(node_load1)
floor(node_load1)
round(node_load1 * 7.3, 0.5)
exp(node_load1)
ln(node_load1 + 1)
log2(node_load1 + 1)
log10(node_load1 + 1)
sqrt(node_load1 + 1)
sgn(node_load1 - 1)
clamp(node_load1, 0.1, 0.2)
clamp_min(node_load1, 3)
clamp_max(node_load1, 0.1)
sin(node_load1)
cos(node_load1)
tan(node_load1)
asin(up / 2)
acos(up / 2)
atan(up)
sinh(node_load1)
cosh(node_load1)
tanh(node_load1)
asinh(node_load1)
acosh(node_load1 + 1)
atanh(up / 2)
deg(up)
rad(up)
pi()
time()
vector(3)
scalar(sum(up))
scalar(up)
timestamp(node_load1)
timestamp(node_load1 + 1)
minute()
hour(node_boot_time_seconds)
day_of_week(node_boot_time_seconds)
day_of_month(node_boot_time_seconds)
day_of_year(node_boot_time_seconds)
days_in_month(node_boot_time_seconds)
month(node_boot_time_seconds)
year(node_boot_time_seconds)
minute(node_boot_time_seconds)
sort(node_cpu_seconds_total)
sort_desc(node_cpu_seconds_total)
-node_load1
+node_load1
node_load1 + 1
2 ^ node_load1
node_load1 % 0.03
-1 ^ 2
7 % -3
1 == bool 2
node_load1 > 0
node_load1 > bool 100
100 < bool node_load1
node_load1 atan2 node_load5
node_load1 + node_load5
node_load1 * on (instance) node_load5
node_load1 / ignoring (job) node_load5
node_filesystem_size_bytes - node_filesystem_avail_bytes
node_filesystem_avail_bytes / ignoring (nothing) node_filesystem_size_bytes * 100
rate(node_cpu_seconds_total[10s]) / ignoring (mode) group_left sum without (mode) (rate(node_cpu_seconds_total[10s]))
node_cpu_seconds_total * on (instance) group_left (nodename, machine) node_uname_info
node_uname_info * on (instance) group_right node_cpu_seconds_total
up and on (job) node_load1
up and node_load1
up or node_load1
up or on (job) node_load1
up unless on (job) node_load1
up unless node_load1
node_load1 == node_load1
node_load1 != node_load5
node_load1 >= node_load5 or node_load1 < node_load5
node_load1 <= bool node_load5
sum(rate(node_cpu_seconds_total{mode="user"}[10s])) / sum(rate(node_cpu_seconds_total[10s]))
max_over_time(rate(node_cpu_seconds_total[5s])[10s:2s])
avg_over_time(node_load1[10s:1s])
rate(node_cpu_seconds_total[10s:1s])
sum_over_time(up[10s:3s] offset 2s)
min_over_time(sum by (job) (up)[8s:])
count_over_time(up[10s:2s] @ {t})
"a string"
1 + 2 * 3
Inf - Inf
0x1F + 1e3
1 - (2 - 3)
go_gc_duration_seconds{quantile="0.5"}
sum by (job) (scrape_samples_scraped)
""".strip().split("\n")

RANGE = """
up
node_load1
sum by (mode) (rate(node_cpu_seconds_total[5s]))
rate(node_cpu_seconds_total{mode="idle"}[5s])
irate(node_cpu_seconds_total[5s])
increase(prometheus_http_requests_total[10s])
histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))
node_memory_MemFree_bytes / node_memory_MemTotal_bytes
100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5s])))
topk(2, rate(node_cpu_seconds_total[5s]))
bottomk(1, node_cpu_seconds_total)
quantile(0.5, node_cpu_seconds_total)
count_values("v", up)
stddev(node_cpu_seconds_total)
avg_over_time(node_memory_MemFree_bytes[5s])
max_over_time(node_memory_MemFree_bytes[5s])
quantile_over_time(0.2, node_memory_MemFree_bytes[5s])
deriv(node_memory_MemFree_bytes[5s])
predict_linear(node_memory_MemFree_bytes[5s], 60)
absent(no_such_metric)
absent_over_time(up{job="nope"}[5s])
time()
timestamp(up)
minute(vector(time()))
node_load1 @ {t}
sum(up @ end()) + time()
node_load1 offset 5s
max_over_time(sum(rate(node_cpu_seconds_total[4s]))[8s:2s])
node_cpu_seconds_total * on (instance) group_left (nodename) node_uname_info
up and on (job) node_load1 > 0
up or no_such_metric
up unless on (job) node_load1
label_replace(up, "x", "$1", "job", "(.).*")
label_join(up, "x", "/", "job", "instance")
scalar(sum(up)) * 2
vector(1) + scalar(up)
clamp(rate(node_cpu_seconds_total[5s]), 0.01, 0.5)
changes(node_memory_MemFree_bytes[5s])
resets(node_memory_MemFree_bytes[5s])
node_load1 > bool 0.5
3
sum without (cpu) (node_cpu_seconds_total)
""".strip().split("\n")

# (query, why): what 2.42 answers otherwise than the 3.x that varve follows.
KNOWN_DIFFERENCES = [
    ("node_load1 atan2 node_load5", "2.42 keeps the metric name of atan2's result"),
]
