# shellcheck shell=bash
# Sourced by every script: messages, one instance per checkout, and steps that a signal can stop at any moment together with
# everything they started.

say() {
    printf '==> %s\n' "$*" >&2
}

die() {
    printf 'scripts/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The directory that this script opened, or empty.
opened=

# open_directory DIR: makes the directory of everything that a script keeps between runs, and locks it for this script.
# Descriptor 9 holds the lock; commands that are started with `9>&-` do not inherit it.
open_directory() {
    local dir=$1
    mkdir -p "$dir" || die "Cannot make the directory $dir: check who may write to its parent."
    [[ -O $dir ]] || die "$dir belongs to $(stat -c %U "$dir"): run this as that user, or remove the directory first."
    exec 9>"$dir/lock"
    flock --nonblock 9 || die "Another run is active in this checkout: stop it first, or wait until it has finished."
    opened=$dir
}

# stop_on_exit COMMAND: however the script ends, stops the running step and, if the directory is open, calls COMMAND. A
# command in the foreground, such as an installation, is waited for first. The exit code does not change; it is 129, 130 or
# 143 after HUP, INT or TERM.
stop_on_exit() {
    exit_command=$1
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'leave $?' EXIT
}

leave() {
    trap '' HUP INT TERM # a second Ctrl-C must not interrupt the cleanup
    stop_step
    if [[ $opened ]]; then "$exit_command" || true; fi
    exit "$1"
}

# The step that is running: the ID of its session and of its first process, or empty.
step=

# start_step COMMAND…: runs COMMAND in the background, in a session of its own: a Ctrl-C reaches it only through this
# script, and all its descendants can be found. It receives TERM even if this script is killed.
start_step() {
    setsid env --default-signal=INT,QUIT setpriv --pdeathsig TERM -- "$@" 9>&- &
    step=$!
}

# run_step COMMAND…: runs COMMAND to its end and returns its exit code; nothing that it started outlives it.
run_step() {
    local code=0
    start_step "$@"
    wait "$step" || code=$?
    stop_step
    return "$code"
}

# Ends the processes left in the step's session: TERM, and KILL after 30 s.
stop_step() {
    local session=$step tenths pids
    step=
    [[ $session ]] || return 0
    for ((tenths = 0; tenths < 300; tenths++)); do
        mapfile -t pids < <(session_processes "$session")
        ((${#pids[@]} > 0)) || return 0
        if ((tenths == 0)); then kill -TERM "${pids[@]}" 2>/dev/null || true; fi
        sleep 0.1
    done
    kill -KILL "${pids[@]}" 2>/dev/null || true
}

# session_processes SESSION: prints the IDs of its processes, without zombies. The name in /proc may contain spaces and
# brackets (proc(5)).
session_processes() {
    local file line state session
    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        read -r state _ _ session _ <<<"${line##*) }"
        if [[ $session == "$1" && $state != Z ]]; then
            file=${file%/stat}
            printf '%s\n' "${file#/proc/}"
        fi
    done
}
