#!/usr/bin/env bash
# Makes sure that the named commands are there: installs what is missing where that is possible (Debian, as root),
# else says in one line what to install. Usage: tests/setup.sh cmake node nginx ...
set -euo pipefail

package_of() {
  case "$1" in
    cc) echo build-essential ;;
    node) echo nodejs ;;
    nginx) echo nginx-light ;;
    taskset) echo util-linux ;;
    varnishd) echo varnish ;;
    h2load) echo nghttp2-client ;;
    *) echo "$1" ;;
  esac
}

is_there() {
  case "$1" in
    # Modules, not commands.
    python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 ;;
    varnish-modules) compgen -G '/usr/lib/*/varnish/vmods/libvmod_xkey.so' >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing=()
for command in "$@"; do
  is_there "$command" || missing+=("$(package_of "$command")")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing ${missing[*]}" >&2
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  else
    echo "missing: install ${missing[*]} (Debian: sudo apt-get install ${missing[*]}) and run this again" >&2
    exit 1
  fi
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "missing: a Rust toolchain, 1.95 or newer (rustup.rs), and run this again" >&2
  exit 1
fi
for command in "$@"; do
  if [ "$command" = node ] && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    echo "missing: Node.js 20 or newer; here is $(node --version)" >&2
    exit 1
  fi
done
