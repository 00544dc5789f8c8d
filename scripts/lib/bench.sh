# shellcheck shell=bash
# Sourced by scripts/bench, soak and hostile, after steps.sh and services.sh: makes a release build and starts databases.
# shellcheck disable=SC2154 # `root` is set by the script, `step` by steps.sh

bench_state=$root/.bench
programs=$root/.build/release

remove_bench() {
    remove_services "$bench_state"
}

# prepare_release PURPOSE lasting|throwaway: installs what PURPOSE needs (see ensure_packages), builds, and starts PostgreSQL,
# with the schema, and Redis.
prepare_release() {
    stop_on_exit remove_bench
    ensure_packages "$1"
    open_directory "$bench_state"
    remove_bench # the remains of a killed run
    say "Building"
    build_swift -c release
    say "Starting PostgreSQL and Redis"
    start_postgres "$bench_state" "$2"
    start_redis "$bench_state"
    FYNLO_JWT_SECRET=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    export FYNLO_JWT_SECRET
    "$programs/fynlo-server" migrate up
}

# Prints one --user TOKEN:USER:RESTAURANT for each user of the demo restaurants who can sign in.
list_users() {
    local email user restaurant
    while IFS='|' read -r email user restaurant; do
        printf -- '--user\n%s:%s:%s\n' "$("$programs/fynlo-server" token --user "$email" --ttl 1d)" "$user" "$restaurant"
    done < <(query "select email, id, restaurant_id from users where is_active and restaurant_id is not null")
}

# serve_release: builds the server and starts it as the script's step, with the demo data. Sets `load` to the arguments with
# which bench/*.py finds the server.
serve_release() {
    local users
    prepare_release test throwaway
    "$programs/fynlo-server" demo-data
    mapfile -t users < <(list_users)

    # A few users stand for many, so the limits per user and restaurant are raised.
    export FYNLO_MAX_CONNECTIONS_PER_USER=1000 FYNLO_MAX_CONNECTIONS_PER_RESTAURANT=1000
    export FYNLO_LOG=error FYNLO_LISTEN=127.0.0.1:8010
    start_step "$programs/fynlo-server" serve
    until (: <"/dev/tcp/127.0.0.1/8010") 2>/dev/null; do
        kill -0 "$step" 2>/dev/null || die "The server has ended; its own line above says why."
    done
    # shellcheck disable=SC2034 # for the script that sources this
    load=(--url "http://$FYNLO_LISTEN" --pid "$step" "${users[@]}")
}
