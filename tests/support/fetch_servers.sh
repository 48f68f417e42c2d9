#!/bin/sh
# Unpacks the servers that the tests talk to from Debian's packages into .tools, without installing anything. Needs no root.
# Chromium alone is more than can be unpacked: it is installed, where root runs this and it is not on PATH.
# What is on PATH is not fetched. Exits 0 even when a server cannot be had: its tests say so by name.
# Beside libc they need libzstd1, which dpkg itself needs, and PostgreSQL its usual libraries (libpq5, libicu, libldap).
set -u
export LC_ALL=C

tools=$(cd "$(dirname "$0")/../.." && pwd)/.tools
bin=$tools/bin
state=$tools/apt
sandbox=APT::Sandbox::User=$(id -un) # root would change to a user who may not write here

wanted='prometheus:prometheus promtool:prometheus victoria-metrics:victoria-metrics' # command:package
wanted="$wanted prometheus-pushgateway:prometheus-pushgateway"
wanted="$wanted influxd:influxdb"
wanted="$wanted cron:cron crontab:cron libfaketime.so.1:libfaketime"
wanted="$wanted prometheus-alertmanager:prometheus-alertmanager"
wanted="$wanted graphite-python:graphite"
wanted="$wanted initdb:postgresql-15 postgres:postgresql-15"

has() {
    command -v "$1" >/dev/null 2>&1 || [ -x "$bin/$1" ]
}

private_apt() {
    apt-get -qq "$@" -o "$sandbox" -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Cache="$state/cache" -o Dir::Log="$state" -o Acquire::Retries=3 >&2
}

read_lists() {
    [ -e "$state/read" ] && return
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    echo "reading the package lists into .tools/apt" >&2
    private_apt update # a broken third-party list does not matter: the download decides
    : >"$state/read"
}

download() { # the lists of the machine may be missing or old, so that a download by them fails
    apt-get -qq download "$1" -o "$sandbox" >/dev/null 2>&1 || { read_lists && private_apt download "$1"; }
}

unpack() ( # in a subshell, for the folder and the trap
    mkdir -p "$bin" && folder=$(mktemp -d "$tools/package.XXXXXX") && cd "$folder" || exit
    trap 'rm -rf "$folder"' EXIT
    download "$2" && dpkg -x "$2"_*.deb . || exit
    if [ -d "usr/lib/postgresql" ]; then # its programs look for their share beside them
        mkdir -p "$tools/usr" && cp -r usr/lib usr/share "$tools/usr/"
        for program in usr/lib/postgresql/*/bin/"$1"; do ln -sf "../$program" "$bin/$1"; done
    fi
    if [ -d "usr/share/prometheus" ]; then # the templates of Alertmanager
        mkdir -p "$tools/share" && cp -r usr/share/prometheus "$tools/share/"
    fi
    for found in "usr/bin/$1" "usr/sbin/$1" usr/lib/*/faketime/"$1"; do
        [ -e "$found" ] && install "$found" "$bin/$1.new" && mv "$bin/$1.new" "$bin/$1"
    done
)

graphite='graphite-web python3-asgiref python3-django python3-django-tagging python3-pyparsing python3-six python3-sqlparse'
graphite="$graphite python3-tz python3-urllib3 python3-whisper"

unpack_graphite() ( # its modules are for Debian's own Python
    [ -x /usr/bin/python3 ] || exit
    mkdir -p "$bin" && folder=$(mktemp -d "$tools/package.XXXXXX") && cd "$folder" || exit
    trap 'rm -rf "$folder"' EXIT
    for package in $graphite; do download "$package" && dpkg -x "$package"_*.deb . || exit; done
    rm -rf "$tools/graphite" && mv usr/lib/python3/dist-packages "$tools/graphite" || exit
    printf '#!/bin/sh\nPYTHONPATH=%s exec /usr/bin/python3 "$@"\n' "'$tools/graphite'" >"$bin/graphite-python"
    chmod +x "$bin/graphite-python"
)

if ! has chromium && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium" >&2
    apt-get -qq update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core >&2
fi
if has chromium; then
    echo "chromium: $(command -v chromium || echo "$bin/chromium")"
else
    echo "chromium: missing, its tests cannot run; install it as root"
fi

for pair in $wanted; do
    command=${pair%%:*} package=${pair#*:}
    if ! has "$command"; then
        if command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1; then
            if [ "$package" = graphite ]; then unpack_graphite; else unpack "$command" "$package"; fi
        else
            echo "no apt-get and dpkg here: install $package by hand" >&2
        fi
    fi
    if has "$command"; then
        echo "$command: $(command -v "$command" || echo "$bin/$command")"
    else
        echo "$command: missing, its tests cannot run"
    fi
done
rm -rf "$state"
