# shellcheck shell=bash
# Sourced by scripts/run and scripts/test, after steps.sh: the Swift toolchain, the packages it needs, and a PostgreSQL
# and a Redis of our own. The system's databases are neither used nor started.
#
# DIR, the directory of a script, holds
#   data/       the PostgreSQL cluster and the logs; when root works in a place that the user `postgres` cannot reach,
#               `data-path` names a directory in /var/tmp instead (PostgreSQL refuses to run as root)
#   socket-path names a short directory in /tmp for the sockets (a socket's path has at most 107 bytes) while they run
#   password    for PostgreSQL over TCP, on a port of 127.0.0.1; the sockets need none: only their owner can reach them

readonly oldest_swift=6.2
readonly oldest_postgres=15

# Settings of libpq and redis-cli that name another database must not lead our programs to it.
unset "${!PG@}" REDISCLI_AUTH

# MARK: Toolchain and packages

# Puts a Swift toolchain that is new enough first in PATH and sets swift_directory, or ends with one sentence.
require_swift() {
    local candidate answer version unfit=
    for candidate in "$(command -v swift || true)" /opt/swift/usr/bin/swift \
        "${HOME:-}/.local/share/swiftly/bin/swift"; do
        [[ -x $candidate ]] || continue
        answer=$("$candidate" --version 2>&1 || true)
        if [[ ! $answer =~ Swift\ version\ ([0-9]+\.[0-9]+) ]]; then
            unfit="$candidate does not start: $(why_not_started "$answer")"
            continue
        fi
        version=${BASH_REMATCH[1]}
        if is_at_least "$oldest_swift" "$version"; then
            swift_directory=$(dirname "$candidate")
            PATH=$swift_directory:$PATH
            return
        fi
        unfit="$candidate is $version: install a later one from https://www.swift.org/install."
    done
    if [[ $unfit ]]; then die "Swift $oldest_swift or later is needed, and $unfit"; fi
    die "Swift $oldest_swift or later is needed: install it from https://www.swift.org/install and put it in PATH."
}

# why_not_started OUTPUT: prints one sentence on why Swift cannot start, from its output, with the package to install.
why_not_started() {
    local library package
    if [[ ! $1 =~ loading\ shared\ libraries:\ ([^:]+): ]]; then
        printf '%s\n' "${1%%$'\n'*}"
        return
    fi
    library=${BASH_REMATCH[1]}
    # The packages that a toolchain needs on a minimal Debian (https://www.swift.org/install/linux).
    case $library in
        libncurses*.so.6 | libform*.so.6 | libpanel*.so.6) package=libncurses6 ;;
        libtinfo.so.6) package=libtinfo6 ;;
        libxml2.so.2) package=libxml2 ;;
        libcurl.so.4) package=libcurl4 ;;
        libedit.so.2) package=libedit2 ;;
        libsqlite3.so.0) package=libsqlite3-0 ;;
        libz3.so.4) package=libz3-4 ;;
        libstdc++.so.6) package=libstdc++6 ;;
        libgcc_s.so.1) package=libgcc-s1 ;;
        libuuid.so.1) package=libuuid1 ;;
        libz.so.1) package=zlib1g ;;
        libpython3.*.so.1.0) package=${library%.so.1.0} ;;
        *) package= ;;
    esac
    if [[ $package ]]; then
        printf '%s is missing: install the package %s.\n' "$library" "$package"
    else
        printf '%s is missing: install the package that contains it.\n' "$library"
    fi
}

# build_swift ARGUMENTS…: runs `swift build` as a step, in the same environment each time: if a variable has changed since
# the last build, SwiftPM links and runs the tool that embeds files again.
build_swift() {
    local name environment=(LC_ALL=C.UTF-8)
    for name in HOME TMPDIR PKG_CONFIG_PATH CC CXX; do
        if [[ ${!name-} ]]; then environment+=("$name=${!name}"); fi
    done
    run_step env -i PATH="$swift_directory:/usr/local/bin:/usr/bin:/bin" "${environment[@]}" swift build "$@"
}

# is_at_least OLDEST VERSION
is_at_least() {
    [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

# ensure_packages run|test|bench|browser|pictures|examples|package: installs the missing packages from the distribution. `run`
# is for building and running; the others add the tests, the comparison with other servers, the tests in a browser, their
# pictures, the tests of the examples, and making a package.
ensure_packages() {
    local purpose=$1 missing=() log as_root=()
    require_swift
    list_missing_packages "$purpose"
    ((${#missing[@]} > 0)) || return 0

    local by_hand="as root, run: apt-get install ${missing[*]}"
    command -v apt-get >/dev/null || die "These packages (Debian's names) are missing: ${missing[*]}; install them first."
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "Packages are missing and there is no sudo; $by_hand"
        sudo -n true 2>/dev/null || [[ -t 0 ]] || die "Packages are missing and sudo asks for a password; $by_hand"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]} (a minute or two)"
    log=$(mktemp)
    if ! "${as_root[@]}" bash -c "set -euo pipefail; $(declare -f install_packages); install_packages \"\$@\"" \
        install_packages "${missing[@]}" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "Installing packages failed; $by_hand"
    fi
    rm -f "$log"

    list_missing_packages "$purpose"
    ((${#missing[@]} == 0)) || die "Still missing, or too old in this distribution: ${missing[*]}; install them first."
}

# Fills the caller's `missing` with the packages that are not installed.
list_missing_packages() {
    missing=()
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
    pkg-config --exists libpq 2>/dev/null || missing+=(libpq-dev)
    pkg-config --exists hiredis 2>/dev/null || missing+=(libhiredis-dev)
    postgres_programs >/dev/null || missing+=(postgresql)
    command -v redis-server >/dev/null || missing+=(redis-server)
    { command -v flock && command -v setsid && command -v setpriv; } >/dev/null || missing+=(util-linux)
    if [[ $1 == bench ]]; then
        command -v wrk >/dev/null || missing+=(wrk)
        command -v nginx >/dev/null || missing+=(nginx-light)
        command -v cc >/dev/null || missing+=(gcc)
        command -v node >/dev/null || missing+=(nodejs)
        [[ -d /usr/share/nodejs/ws ]] || missing+=(node-ws)
        python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    fi
    if [[ $1 == test || $1 == bench ]]; then
        command -v openssl >/dev/null || missing+=(openssl)
        command -v pgrep >/dev/null || missing+=(procps)
        command -v systemd-analyze >/dev/null || missing+=(systemd)
        compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
    fi
    if [[ $1 == test ]]; then
        schema_python >/dev/null || missing+=(python3-jsonschema)
    fi
    if [[ $1 == browser || $1 == pictures || $1 == examples ]]; then
        command -v chromium >/dev/null || missing+=(chromium)
        command -v chromedriver >/dev/null || missing+=(chromium-driver)
        command -v python3 >/dev/null || missing+=(python3)
    fi
    if [[ $1 == pictures ]]; then
        [[ -e /usr/share/fonts/opentype/inter/Inter-Regular.otf ]] || missing+=(fonts-inter)
        [[ -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ]] || missing+=(fonts-noto-color-emoji)
    fi
    if [[ $1 == examples ]]; then
        # Of the distribution's own Python, which is not always the first in PATH.
        /usr/bin/python3 -c 'import websockets' 2>/dev/null || missing+=(python3-websockets)
    fi
    if [[ $1 == package ]]; then
        command -v dpkg-shlibdeps >/dev/null || missing+=(dpkg-dev)
        command -v systemd-analyze >/dev/null || missing+=(systemd)
    fi
}

# schema_python: prints the Python that has the package jsonschema. The distribution's is not always the first in PATH.
schema_python() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'from jsonschema import Draft202012Validator' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# install_packages PACKAGE…: as root, in a shell of its own. Debian would make and start a PostgreSQL cluster `main` and
# start Redis and nginx, now and at every boot: both are prevented, by files that are gone afterwards.
install_packages() {
    local mark='# Made by fynlo-server for the time of one installation.'
    policy=/usr/sbin/policy-rc.d
    no_cluster=/etc/postgresql-common/createcluster.d/fynlo-server.conf
    export DEBIAN_FRONTEND=noninteractive
    if [[ -e $policy ]] && ! grep -qxF "$mark" "$policy"; then policy=; fi

    trap 'rm -f "$no_cluster" ${policy:+"$policy"}; rmdir "${no_cluster%/*}" 2>/dev/null || true' EXIT
    trap 'exit 1' HUP INT TERM
    mkdir -p "${no_cluster%/*}"
    printf '%s\n' "$mark" 'create_main_cluster = false' >"$no_cluster"
    if [[ $policy ]]; then
        printf '%s\n' '#!/bin/sh' "$mark" 'exit 101' >"$policy"
        chmod 755 "$policy"
    fi

    dpkg --configure -a || true # the remains of an interrupted installation
    apt-get -o DPkg::Lock::Timeout=300 update || true # an old list may be enough
    apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends --no-upgrade "$@"
    if [[ " $* " == *" redis-server "* ]]; then update-rc.d redis-server disable; fi
    if [[ " $* " == *" nginx-light "* ]]; then update-rc.d nginx disable; fi
}

# postgres_programs [DATA]: prints the directory of the newest PostgreSQL's programs, or of the version that made DATA.
postgres_programs() {
    local wanted='' candidate version best='' best_version=$((oldest_postgres - 1))
    if [[ ${1:-} && -f $1/PG_VERSION ]]; then wanted=$(<"$1/PG_VERSION"); fi
    for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        "$(dirname "$(readlink -f "$(command -v postgres)")")"; do
        [[ -x $candidate/postgres && -x $candidate/initdb && -x $candidate/psql ]] || continue
        [[ $("$candidate/postgres" --version) =~ \)\ ([0-9]+) ]] || continue
        version=${BASH_REMATCH[1]}
        if [[ $wanted ]]; then
            if [[ $version == "$wanted" ]]; then best=$candidate; fi
        elif ((version > best_version)); then
            best=$candidate
            best_version=$version
        fi
    done
    [[ $best ]] && printf '%s\n' "$best"
}

# MARK: The services' user and directories

service_user() {
    if ((EUID == 0)); then echo postgres; else id -un; fi
}

# as_service_user COMMAND…: runs COMMAND where the terminal's signals do not reach it, so that no start is left half done.
as_service_user() {
    local change_user=()
    if ((EUID == 0)); then change_user=(setpriv --reuid=postgres --regid=postgres --init-groups --); fi
    (cd / && exec env LC_ALL=C setsid --wait "${change_user[@]}" "$@" 9>&-)
}

# private_directory DIR KIND: prints the directory outside DIR that DIR/KIND-path names, if it still exists, still belongs to
# the service user, and was made for this DIR (which may be a copy).
private_directory() {
    local path
    path=$(cat "$1/$2-path" 2>/dev/null) || return 1
    [[ -d $path && ! -L $path && $(stat -c %U "$path") == "$(service_user)" ]] || return 1
    [[ $(cat "$path/made-for" 2>/dev/null) == "$1" ]] || return 1
    printf '%s\n' "$path"
}

# make_private_directory DIR KIND PARENT: makes a directory in PARENT, notes it in DIR/KIND-path and prints it.
make_private_directory() {
    local path
    path=$(mktemp -d "$3/fynlo.XXXXXX")
    printf '%s\n' "$1" >"$path/made-for"
    chown "$(service_user):" "$path"
    printf '%s\n' "$path" >"$1/$2-path"
    printf '%s\n' "$path"
}

# data_directory DIR: prints the directory of the cluster and the logs; makes it if necessary.
data_directory() {
    private_directory "$1" data && return
    mkdir -p "$1/data"
    chmod 700 "$1/data"
    chown "$(service_user):" "$1/data"
    if as_service_user test -w "$1/data"; then
        printf '%s\n' "$1/data"
    else
        rmdir "$1/data" 2>/dev/null || die "The user postgres cannot reach $1/data any more: see the rights of the" \
            "directories above it, or use --clean."
        make_private_directory "$1" data /var/tmp
    fi
}

socket_directory() {
    private_directory "$1" socket || make_private_directory "$1" socket /tmp
}

command_line() {
    { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null
}

# MARK: PostgreSQL

# postgres_pid DATA: prints the process ID of the server that runs on DATA; fails if there is none, even if a stale file
# names one.
postgres_pid() {
    local pid
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 1
    [[ $(command_line "$pid") == *" -D $1 "* ]] || return 1
    printf '%s\n' "$pid"
}

# start_postgres DIR lasting|throwaway: starts PostgreSQL unless it runs, the first time with an empty database `fynlo`.
# Throwaway is fast, but not safe against a crash of the machine. Exports DATABASE_URL (the socket) and sets
# database_tcp_url.
start_postgres() {
    local dir=$1 kind=$2 data log programs sockets port password
    data=$(data_directory "$dir")
    log=$data/postgres.log
    data=$data/postgres
    programs=$(postgres_programs "$data") ||
        die "$data was made by PostgreSQL $(<"$data/PG_VERSION"), which is not installed any more: use --clean."
    if [[ ! -s $dir/password ]]; then
        (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/password")
    fi
    password=$(<"$dir/password")

    if ! postgres_pid "$data" >/dev/null; then
        if [[ ! -f $data/PG_VERSION ]]; then create_cluster "$data" "$programs" "$kind"; fi
        sockets=$(socket_directory "$dir")
        launch_postgres "$data" "$programs" "$kind" "$sockets" "$log"
    fi
    { read -r _ && read -r _ && read -r _ && read -r port && read -r sockets; } <"$data/postmaster.pid"
    create_database "$programs" "$sockets" "$port" "$kind" "$password"
    export DATABASE_URL="postgresql://fynlo@${sockets//\//%2F}:$port/fynlo"
    # shellcheck disable=SC2034 # for the script that sources this
    database_tcp_url="postgresql://fynlo:$password@127.0.0.1:$port/fynlo"
}

# create_cluster DATA PROGRAMS KIND: makes the cluster; DATA appears complete or not at all.
create_cluster() {
    local data=$1 programs=$2 sync=() output
    if [[ $3 == throwaway ]]; then sync=(--no-sync); fi
    as_service_user rm -rf "$data.new"
    output=$(as_service_user "$programs/initdb" -D "$data.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=trust --auth-host=scram-sha-256 "${sync[@]}" 2>&1) ||
        die "PostgreSQL could not make a cluster in $data: $(tail -n 1 <<<"$output")"
    as_service_user mv "$data.new" "$data"
}

# launch_postgres DATA PROGRAMS KIND SOCKETS LOG
launch_postgres() {
    local data=$1 programs=$2 kind=$3 sockets=$4 log=$5 options port attempt
    options="-c listen_addresses=127.0.0.1 -c unix_socket_directories=$sockets -c unix_socket_permissions=0700"
    options+=' -c max_connections=200 -c timezone=UTC -c log_timezone=UTC'
    if [[ $kind == throwaway ]]; then
        options+=' -c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0'
    fi
    if [[ -e $data/postmaster.pid && -d /proc/$(head -n 1 "$data/postmaster.pid") ]]; then
        # Left by a crash. Another program may have the same process ID now, and PostgreSQL would mistake it for a server.
        as_service_user rm -f "$data/postmaster.pid"
    fi
    for ((attempt = 1; attempt <= 5; attempt++)); do
        port=$((20000 + RANDOM % 10000)) # below the ports that the kernel gives to clients
        as_service_user rm -f "$log"
        if as_service_user "$programs/pg_ctl" start -D "$data" -l "$log" -s -w -t 120 \
            -o "$options -c port=$port" >/dev/null 2>&1 </dev/null; then
            return
        fi
        grep -q 'Address already in use' "$log" || break
    done
    die "PostgreSQL did not start: $(grep -E 'FATAL|PANIC|ERROR' "$log" | tail -n 1); its log is $log"
}

# create_database PROGRAMS SOCKETS PORT KIND PASSWORD: makes the role and the database if they are missing. For tests the
# role is a superuser; otherwise it is an ordinary role, as it should be in production.
create_database() {
    local rights=createdb output
    if [[ $4 == throwaway ]]; then rights=superuser; fi
    output=$("$1/psql" -XqAt -v ON_ERROR_STOP=1 -h "$2" -p "$3" -U postgres postgres 2>&1 <<SQL
select 'create role fynlo login $rights' where not exists (select from pg_roles where rolname = 'fynlo') \gexec
alter role fynlo password '$5';
select 'create database fynlo owner fynlo' where not exists (select from pg_database where datname = 'fynlo') \gexec
SQL
    ) || die "PostgreSQL could not make the database: $(tail -n 1 <<<"$output")"
}

# query SQL: prints the database's answer.
query() {
    "$(postgres_programs)/psql" -XqAt -v ON_ERROR_STOP=1 -c "$1" "$DATABASE_URL"
}

stop_postgres() {
    local data programs
    data=$(private_directory "$1" data || printf '%s\n' "$1/data")/postgres
    postgres_pid "$data" >/dev/null || return 0
    programs=$(postgres_programs "$data") || return 1
    as_service_user "$programs/pg_ctl" stop -D "$data" -s -w -m fast -t 30 >/dev/null 2>&1 ||
        as_service_user "$programs/pg_ctl" stop -D "$data" -s -w -m immediate -t 30 >/dev/null 2>&1
}

# MARK: Redis

# redis_pid SOCKETS: prints the process ID of the server on the socket there; fails if there is none, even if a stale file
# names one.
redis_pid() {
    local pid
    pid=$(cat "$1/redis.pid" 2>/dev/null) || return 1
    [[ $(command_line "$pid") == *redis-server*"$1/redis.sock"* ]] || return 1
    printf '%s\n' "$pid"
}

# start_redis DIR: starts Redis unless it runs; it keeps nothing on disk. Exports REDIS_URL.
start_redis() {
    local dir=$1 data sockets tenths
    data=$(data_directory "$dir")
    sockets=$(socket_directory "$dir")
    if ! redis_pid "$sockets" >/dev/null; then
        as_service_user redis-server --port 0 --unixsocket "$sockets/redis.sock" --unixsocketperm 700 --save '' \
            --appendonly no --dir "$sockets" --pidfile "$sockets/redis.pid" --logfile "$data/redis.log" \
            --daemonize yes >/dev/null || die "Redis did not start: see $data/redis.log"
    fi
    for ((tenths = 0; tenths < 100; tenths++)); do
        if [[ $(redis-cli -s "$sockets/redis.sock" ping 2>/dev/null) == PONG ]]; then
            export REDIS_URL="unix:$sockets/redis.sock"
            return
        fi
        sleep 0.1
    done
    die "Redis did not answer within 10 s: $(tail -n 1 "$data/redis.log"); its log is $data/redis.log"
}

stop_redis() {
    local sockets pid tenths
    sockets=$(private_directory "$1" socket) || return 0
    for ((tenths = 0; tenths < 100; tenths++)); do
        pid=$(redis_pid "$sockets") || return 0
        if ((tenths == 0)); then kill -TERM "$pid" 2>/dev/null || true; fi
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# MARK: Both

# stop_services DIR: stops the services that were started there and nothing else; the data stays.
stop_services() {
    local sockets
    stop_redis "$1"
    stop_postgres "$1" || say "PostgreSQL in $1 could not be stopped"
    if sockets=$(private_directory "$1" socket); then rm -rf "$sockets"; fi
    rm -f "$1/socket-path"
}

# remove_services DIR: stops the services and removes their data; the logs move to DIR.
remove_services() {
    local data
    stop_services "$1"
    data=$(private_directory "$1" data || printf '%s\n' "$1/data")
    cp "$data"/*.log "$1"/ 2>/dev/null || true
    rm -rf "$data" "$1/data-path" "$1/password"
}
