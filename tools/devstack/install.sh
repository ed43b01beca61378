#!/bin/sh
# Installs what is missing; fast if nothing is.
#
#   install.sh run         what `make run` needs: .venv with the packages of the services, and RabbitMQ at the same time
#   install.sh python      .venv with all packages of uv.lock
#   install.sh rabbitmq    rabbitmq-server, which is not available as a Python package
#   install.sh servers     the same for tests, which do not need it if Docker is available
#   install.sh browser     headless Chromium for the tests of the page, which are skipped without it
#   install.sh firefox     Firefox for its test of the page, which is skipped without it
#   install.sh prometheus  Prometheus with promtool for the tests of the alerts, which are skipped without it
#   install.sh page        TypeScript, which checks the types of the page's modules, if there is npm
#   install.sh bench       the load generator, and the benchmarks' peers
#
# PYTHON says which Python .venv has: a version (3.13), a command or a path. A .venv of another version is replaced. Without
# it an existing .venv stays, and a new one has the first of `find_python`. BEGAN is the time from which seconds are counted.
set -eu
cd "$(dirname "$0")/../.."

BEGAN=${BEGAN:-$(date +%s)}
say() { printf '%4d s  %s\n' "$(($(date +%s) - BEGAN))" "$*"; }
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" > /dev/null 2>&1; }

# ---------------------------------------------------------------- becoming root, only if needed
may_be_root() {
  [ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2> /dev/null || [ -t 0 ]; }; }
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # PACKAGE...: without starting the services that come with it
  as_root env DEBIAN_FRONTEND=noninteractive sh -eu -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" > "$policy"
      chmod 755 "$policy"
    fi
    apt-get update -qq
    RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "$@" > /dev/null' sh "$@"
}

# ---------------------------------------------------------------- Python
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null || true; }

wanted_version() { # of PYTHON, without a patch version
  case ${PYTHON:-} in
    [0-9]*) echo "$PYTHON" | cut -d. -f1,2 ;;
    ?*) version_of "$PYTHON" ;;
  esac
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    for python in "python$PYTHON" "$PYTHON"; do
      if [ -n "$(version_of "$python")" ]; then echo "$python"; return; fi
    done
    return
  fi
  for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then echo "$python"; return; fi
  done
}

fetch_uv() { # uv is one binary in its wheel: no pip is needed to have it
  .venv/bin/python tools/devstack/fetch_uv.py .venv/bin
}

make_venv_with_uv() { # uv knows more places, and downloads a Python if it may
  uv=$(find_uv)
  kept=$(mktemp -d)
  trap 'rm -rf "$kept"' EXIT
  if [ "$uv" != uv ]; then
    if [ -n "$uv" ]; then cp "$uv" "$kept"; else python3 tools/devstack/fetch_uv.py "$kept"; fi
    uv=$kept/uv
  fi
  # Tried in another folder first: if there is no such Python, .venv stays.
  "$uv" venv --quiet --python "$PYTHON" "$kept/tried" ||
    fail "there is no Python $PYTHON here: install it, or say where it is (PYTHON=/path/to/python)"
  rm -rf .venv
  "$uv" venv --quiet --python "$PYTHON" .venv
  say "Made .venv with $(.venv/bin/python --version)"
  if [ "$uv" != uv ]; then mv "$uv" .venv/bin/uv; fi
}

make_venv() {
  python=$(find_python)
  if [ -z "$python" ] && [ -n "${PYTHON:-}" ]; then make_venv_with_uv; return; fi
  [ -n "$python" ] || fail "Python 3.11 or newer is needed (Debian, Ubuntu: apt-get install python3)"
  say "Making .venv with $("$python" --version)"
  rm -rf .venv
  # Without pip, which takes ten seconds to install and is not needed if uv can be had.
  if "$python" -m venv --without-pip .venv 2> /dev/null && { [ -n "$(find_uv)" ] || fetch_uv; }; then return; fi
  rm -rf .venv
  if ! "$python" -c 'import ensurepip' 2> /dev/null; then
    have apt-get && may_be_root || fail "this Python cannot create a virtual environment: install python3-venv"
    apt_install python3-venv
  fi
  "$python" -m venv .venv # its pip may know another index than PyPI
}

find_uv() {
  if [ -x .venv/bin/uv ]; then echo .venv/bin/uv; elif have uv; then echo uv; fi
}

# The system's certificates include those of this network, in addition to public authorities.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"; fi

install_python() { # [OPTION...] of `uv sync`
  if [ -n "${PYTHON:-}" ] && [ "$(version_of .venv/bin/python)" != "$(wanted_version)" ]; then make_venv; fi
  uv=$(find_uv)
  if [ "$uv" != uv ] && ! .venv/bin/python -c '' 2> /dev/null; then
    make_venv
    uv=$(find_uv)
  fi
  if [ -z "$uv" ]; then
    say "Installing uv into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check uv 2> /dev/null || fetch_uv
    uv=.venv/bin/uv
  fi
  [ -x .venv/bin/dashboard ] || say "Installing Python packages into .venv"
  "$uv" sync --locked --quiet "$@"
}

# ---------------------------------------------------------------- RabbitMQ
rabbitmq_is_there() {
  for folder in /usr/lib/rabbitmq/bin /opt/homebrew/opt/rabbitmq/sbin /usr/local/opt/rabbitmq/sbin /opt/rabbitmq/sbin; do
    if [ -x "$folder/rabbitmq-server" ]; then return 0; fi
  done
  have rabbitmq-server
}

install_rabbitmq() {
  if rabbitmq_is_there || [ -n "${RABBITMQ_URL:-}" ]; then return 0; fi
  if have brew; then
    say "Installing RabbitMQ with brew"
    brew install rabbitmq
  elif have apt-get && may_be_root; then
    say "Installing rabbitmq-server with apt (its system service is left off)"
    apt_install rabbitmq-server
    if have systemctl; then as_root systemctl disable --quiet rabbitmq-server 2> /dev/null || true; fi
  else
    fail "RabbitMQ is missing, and installing it needs root. Either install it (Debian, Ubuntu:
    sudo apt-get install rabbitmq-server), or use an existing one (RABBITMQ_URL=amqp://user:password@host/),
    or run everything in containers (docker compose up --build)."
  fi
}

# ---------------------------------------------------------------- what `make run` needs
install_run() { # without the packages that only tests and tools need; those that are there stay
  exec 3<&0 # a background process would have no terminal, in which sudo asks for a password
  install_rabbitmq <&3 &
  rabbitmq=$!
  # A dozen processes would otherwise compile the same modules at their first start.
  install_python --inexact --no-dev --group local $([ -x .venv/bin/dashboard ] || echo --compile-bytecode)
  wait "$rabbitmq" || exit 1
}

docker_answers() { have docker && docker info > /dev/null 2>&1; }

install_faketime() { # for the tests of wrong clocks, which are skipped without it
  if ls /usr/lib/*/faketime/libfaketimeMT.so.1 > /dev/null 2>&1; then return 0; fi
  if have apt-get && may_be_root; then apt_install faketime || say "Without faketime the tests of wrong clocks are skipped"; fi
}

install_servers() {
  install_faketime
  if rabbitmq_is_there || [ "${TEST_BACKENDS:-}" = docker ]; then return 0; fi
  if ! may_be_root && [ "${TEST_BACKENDS:-}" != local ] && docker_answers; then return 0; fi
  install_rabbitmq
}

# ---------------------------------------------------------------- a browser
have_browser() {
  for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
    if have "$name"; then return 0; fi
  done
  return 1
}

driver_runs() { # Playwright's own Node.js, which needs a library that a bare Debian 12 does not have
  .venv/lib/python3*/site-packages/playwright/driver/node --version > /dev/null 2>&1
}

install_browser() {
  if have_browser && driver_runs; then return 0; fi
  if have apt-get && may_be_root && [ "$(. /etc/os-release && echo "$ID")" = debian ]; then
    say "Installing Chromium with apt"
    apt_install chromium-headless-shell libatomic1 || apt_install chromium libatomic1 || say "Without a browser: apt could not install Chromium, so the tests of the page are skipped"
  else
    say "Without a browser: install chromium or Chrome, and libatomic1, else the tests of the page are skipped"
  fi
}

install_firefox() {
  if have firefox-esr || have firefox; then return 0; fi
  if have apt-get && may_be_root && [ "$(. /etc/os-release && echo "$ID")" = debian ]; then
    say "Installing Firefox with apt"
    apt_install firefox-esr || say "Without Firefox: apt could not install it, so its tests are skipped"
  else
    say "Without Firefox: install it, else its tests are skipped"
  fi
}

# ---------------------------------------------------------------- Prometheus
install_prometheus() {
  if have promtool; then return 0; fi
  if have apt-get && may_be_root; then
    say "Installing Prometheus with apt (its system service is left off)"
    if ! apt_install prometheus; then
      say "Without Prometheus: apt could not install it, so the tests of the alerts are skipped"
    elif have systemctl; then
      as_root systemctl disable --quiet prometheus 2> /dev/null || true
    fi
  else
    say "Without Prometheus: install it for promtool, else the tests of the alerts are skipped"
  fi
}

# ---------------------------------------------------------------- Benchmarks
lua_is_there() { [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ]; }

install_bench() {
  "$(find_uv)" sync --locked --quiet --group bench
  if ! have wrk || ! have npm || ! lua_is_there; then
    if have apt-get && may_be_root; then
      say "Installing wrk, nginx with lua and Node.js with apt (nginx's system service is left off)"
      node=$(have npm || echo nodejs npm)
      # shellcheck disable=SC2086  one word a package
      apt_install wrk nginx-light libnginx-mod-http-lua $node
    elif have wrk; then
      say "Without nginx with lua, or npm: the benchmarks leave out what is missing"
    else
      fail "the benchmarks need wrk (Debian, Ubuntu: sudo apt-get install wrk)"
    fi
  fi
  if have npm; then install_node_peers; fi
}

install_node_peers() { install_npm tools/lab/bench/peers/node "Fastify and undici"; }

install_npm() ( # FOLDER NAME: what the lock file in the folder says
  cd "$1"
  if [ node_modules/.package-lock.json -nt package-lock.json ]; then return 0; fi
  say "Installing $2 into $1"
  npm ci --no-audit --no-fund --loglevel=error
)

# ---------------------------------------------------------------- Types of the page's modules
install_page() {
  if ! have npm; then
    say "Without npm: the types of the page's modules are not checked"
  elif ! install_npm tools/page TypeScript; then
    say "Without TypeScript: npm could not install it, so the types of the page's modules are not checked"
  fi
}

for part in "${@:-python}"; do
  case $part in
    run | python | rabbitmq | servers | browser | firefox | prometheus | page | bench) "install_$part" ;;
    *) fail "no part '$part': run, python, rabbitmq, servers, browser, firefox, prometheus, page, bench" ;;
  esac
done
