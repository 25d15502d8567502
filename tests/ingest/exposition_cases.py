#!/usr/bin/env python3
"""Asks a real Prometheus how it reads exposition bodies.

  exposition_cases.py PROMETHEUS_BINARY > exposition_cases.inc

Serves each body below as a scrape target of its own and prints, as a C++
table, whether the scrape failed and which series it gave. Bodies on which
Prometheus 3.5 itself crashes, such as `{m} 1`, are left out.
"""
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

P = 'text/plain; version=0.0.4'
O = 'application/openmetrics-text; version=1.0.0'
cases=[]
def p(b): cases.append((P,b if isinstance(b,bytes) else b.encode()))
def o(b,eof=True): cases.append((O,(b if isinstance(b,bytes) else b.encode())+(b'# EOF\n' if eof else b'')))
# Prometheus text
for b in ['m 1','m 1\n','m 1 \n',' m 1\n','m\t1\n','m 1 5\n','m 1 -5\n','m 1 +5\n','m 1 5.5\n','m 1 99999999999999999999\n','m{} 1\n','m{}1\n','m{a="b"}1\n','m{,} 1\n','m{a="b",,} 1\n','m{a="b" c="d"} 1\n','m{a="b",c="d",} 1\n',
 'm{a="b\n"} 1\n','m{a="b\\\n"} 1\n','m{a="b\\x"} 1\n','m{a="\\"\\\\\\n"} 1\n', b'm{a="\xff"} 1\n', b'm{"\xff"="x"} 1\n', b'{"\xff"} 1\n','{"m"} 1\n','{"m",a="b"} 1\n','{a="b","m"} 1\n','{"a"="b","m"} 1\n','{a="b"} 1\n','{} 1\n','m{"n"} 1\n','{"m","n"} 1\n','{"m" a="b"} 1\n','{"a" "b"="c"} 1\n','{"m" } 1\n', '{""} 1\n','m{""="x"} 1\n','m{a=""} 1\n','m{a="1",a="2"} 1\n','m{a="1",a="1"} 1\n','m{a="",a="1"} 1\n','m{__name__="n"} 1\n','m{__name__=""} 1\n','m{a-b="c"} 1\n','m-n 1\n','1m 1\n','m:n{a:b="c"} 1\n','m{a="b"} {\n','m{a="b"} 1{\n','m}1\n','m"x" 1\n','m 1 # {a="b"} 1\n',
 'm 0x10\n','m 0x1p4\n','m 1_0\n','m +1\n','m .5\n','m 5.\n','m .\n','m 1e\n','m 1e5\n','m 1e400\n','m -1e400\n','m 1e-400\n','m 5e-324\n','m inf\n','m +Inf\n','m -INF\n','m infinity\n','m -iNfinity\n','m infi\n','m nan\n','m NaN\n','m +NaN\n','m -nan\n','m NAN\n','m NaN(1)\n','m ""\n','m\n','m \n','m 1\r\n','m 1 5\r\n','\r\n','\n\nm 1\n\n','#\n','##\n','#HELP m\n','# HELP\n','# HELP \n','# HELP m\n','# HELP m \n','# HELP m x\\n\\\\\\"y\n','# HELP m-x y\n','# HELP "m.n" y\n','# HELP "m\\"n" y\n','# HELP 1 y\n','# HELPm\n','# TYPE m counter\n','# TYPE m counter \n','# TYPE m  counter\n','# TYPE m Counter\n','# TYPE m unknown\n','# TYPE m untyped\n','# TYPE m gaugehistogram\n','# TYPE m\n','# TYPE m info\n','# UNIT m x\n','# TYPE "m.n" gauge\n{"m.n"} 1\n','#\tTYPE\tm\tgauge\n','# EOF\nm 1\n','# EOF x\n',b'# HELP m \xff\n',b'# \xff\n',b'#a\x00b\nm 1\n',b'# a\x00b\nm 1\n',b'\x00m 1\n',b'm 1\x00\n',b'm{a="\x00"} 1\n',b'm{"a\x00"="b"} 1\n',b'{"m\x00"} 1\n',b'm\x00 1\n',b'# HELP m x\x00y\n','m{a="b\\"} 1\n','m{a=b} 1\n','m{a="b} 1\n','m{a\n="b"} 1\n',
 '# TYPE m histogram\nm_bucket{le="1"} 1\nm_bucket{le="0.5"} 1\nm_bucket{le="+Inf"} 1\nm_bucket{le="1e6"} 1\nm_bucket{le="100000"} 1\nm_bucket{le="1e-5"} 1\nm_bucket{le="x"} 1\nm_bucket{le="-1"} 1\nm_bucket{le="0"} 1\nm_bucket{le="-0"} 1\nm_bucket{le="1234567"} 1\nm_bucket{le="inf"} 1\nm_bucket{le="nan"} 1\nm_bucket{le="1e21"} 1\nother{le="7"} 1\nm_bucket{quantile="3"} 1\n',
 '# TYPE m histogram\nm_bucket{le="0x10p0"} 1\nm_bucket{le="1_0"} 1\n','# TYPE m summary\nm{quantile="1"} 1\nm{quantile=".5"} 1\nm{le="1"} 1\n','# TYPE m gauge\nm{le="1",quantile="1"} 1\n',
 'm 1\nm 1\n','m 1\nm 2\n','m 1 1000\nm 1 2000\n','m 1 0\n',
 'm{a="1"} 1\nm{ a = "1" } 2\n','a b c\n','<html>\n','',]: p(b)
# OpenMetrics
for b in ['m 1\n',' m 1\n','m  1\n','m 1 \n','m\t1\n','m 1 5\n','m 1 -5\n','m 1 5.5\n','m 1 1.2345678\n','m 1 NaN\n','m 1 Inf\n','m 1 1e30\n','m{} 1\n','m{}1\n','m {a="b"} 1\n','m{ a="b"} 1\n','m{a="b"  } 1\n','m{a="b", c="d"} 1\n','m{a="b" c="d"} 1\n','m{a="b",} 1\n','m{,} 1\n','m{a="b\n"} 1\n','m{"a\nb"="c"} 1\n','{"m"} 1\n','{"m",a="b"} 1\n','\nm 1\n','m 1\n\n','# comment\n','#comment\n','# HELP m\n','# HELP m \n','# HELP m x\\"y\\n\n','# TYPE m counter\n','# TYPE m untyped\n','# TYPE m stateset\n','# UNIT m_x x\n','# UNIT m y\n','# UNIT m \n','# UNIT x x\n','# UNIT _x x\n','# HELP  m x\n','#  HELP m x\n','# TYPE m  counter\n','# TYPE m counter\nm_total 1\nm_created 5\n','m 1 # {a="b"} 1\n','m 1 # {a="b"} 1 5\n','m 1 5 # {a="b"} 1 5\n','m 1 # {} 1\n','m 1 # {a="b",} 1\n','m 1 # {"a.b"="c"} 1\n','m 1 # {"a"} 1\n','m 1 # {a} 1\n','m 1 # {a="b"}\n','m 1 # {a="b"} x\n','m 1 # {a="b"} 1 NaN\n','m 1 # {a="b"} 1 x\n','m 1 # {a="b"} 1 5 6\n','m 1 #{a="b"} 1\n','m 1 # a="b"} 1\n','m 1 # {a="b",a="c"} 1\n','m 1 # {a="'+'x'*200+'"} 1\n','m 1 # {a="\\n"} 1 5\n',b'm 1 # {a="\xff"} 1\n','m 1 # {a="b"} 1 # {c="d"} 2\n','m 1\r\n','# TYPE m histogram\nm_bucket{le="1"} 1\n',b'# HELP m x\x00y\n',b'm{a="\x00"} 1\n', b'# HELP m \xff\n','m NaN\n','m nan # {} NaN\n','m 1 0\n','m 1 ct@5\n','m 1 st@5\n']: o(b)
for b in ['m 1\n','','# EOF','# EOF\n','# EOF\n\n','# EOF\nm 1\n','m 1','m 1 5','m 1\n# EOF','# EOF x\n','#EOF\n','# HELP m x','m 1 # {} 1','m 1\n# EOF\r\n']: o(b,False)

seen = set()


class Target(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_GET(self):
        case = int(self.path[1:])
        content_type, body = cases[case]
        seen.add(case)
        self.send_response(200)
        self.send_header('Content-Type', content_type)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def quote(text):
    """A C++ string literal of these bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    out = ''
    for byte in data:
        c = chr(byte)
        if c in '"\\':
            out += '\\' + c
        elif 32 <= byte < 127:
            out += c
        else:
            out += '\\%03o' % byte
    return '"' + out + '"'


def main():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    web = http.server.HTTPServer(('127.0.0.1', 0), Target)
    port = web.server_port
    web.server_close()
    directory = tempfile.mkdtemp()
    config = {'scrape_configs': [{
        'job_name': 'j', 'scrape_interval': '5s', 'honor_timestamps': False,
        'static_configs': [
            {'targets': ['127.0.0.1:%d' % server.server_port],
             'labels': {'__metrics_path__': '/%d' % i, 'case': str(i)}}
            for i in range(len(cases))]}]}
    with open(directory + '/c.yml', 'w') as f:
        json.dump(config, f)
    process = subprocess.Popen(
        [sys.argv[1], '--config.file=' + directory + '/c.yml',
         '--storage.tsdb.path=' + directory + '/data',
         '--web.listen-address=127.0.0.1:%d' % port],
        stderr=subprocess.DEVNULL)

    def get(path):
        url = 'http://127.0.0.1:%d%s' % (port, path)
        return json.load(urllib.request.urlopen(url))['data']

    try:
        deadline = time.time() + 30
        while len(seen) < len(cases) and time.time() < deadline:
            time.sleep(0.5)
        time.sleep(2)
        targets = {t['labels']['case']: t
                   for t in get('/api/v1/targets')['activeTargets']}
        for i, (content_type, body) in enumerate(cases):
            query = ('last_over_time({case="%d",'
                     '__name__!~"up|scrape_.*"}[1m])' % i)
            result = get('/api/v1/query?query=' + urllib.parse.quote(query))
            series = []
            for r in result['result']:
                metric = {k: v for k, v in r['metric'].items()
                          if k not in ('case', 'instance', 'job')}
                name = metric.pop('__name__')
                labels = ','.join('%s=%s' % kv for kv in sorted(metric.items()))
                series.append('%s{%s} %s' % (name, labels, r['value'][1]))
            failed = targets[str(i)]['lastError'] != ''
            print('VARVE_CASE(%s, %s, %s, %s)' % (
                'TextFormat::kPrometheus' if content_type == P
                else 'TextFormat::kOpenMetrics',
                quote(body), 'false' if failed else 'true',
                quote('\n'.join(sorted(series)))))
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


main()
