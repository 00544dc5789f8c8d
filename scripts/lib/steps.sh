# shellcheck shell=bash
# Sourced by scripts/run and scripts/test: what they say, one instance per checkout, and steps that a signal can stop at
# any moment together with everything they have started.

say() {
    printf '==> %s\n' "$*" >&2
}

die() {
    printf 'scripts/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The directory that this script has opened, or empty.
opened=

# open_directory DIR: makes the directory that holds all that a script keeps between runs, and locks it for this script.
# Descriptor 9 holds the lock; whatever is started with `9>&-` does not.
open_directory() {
    local dir=$1
    mkdir -p "$dir" || die "Cannot make the directory $dir: check who may write to its parent."
    [[ -O $dir ]] || die "$dir belongs to $(stat -c %U "$dir"): run this as that user, or remove the directory first."
    exec 9>"$dir/lock"
    flock --nonblock 9 || die "Already at work in this checkout: stop that one first, or wait until it has finished."
    opened=$dir
}

# stop_on_exit COMMAND: however the script ends, the running step is stopped and, if the directory is open, COMMAND is
# called. A command in the foreground, such as an installation, is waited for first. The exit code stays what it was;
# 129, 130 and 143 stand for HUP, INT and TERM.
stop_on_exit() {
    exit_command=$1
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'leave $?' EXIT
}

leave() {
    trap '' HUP INT TERM # a second Ctrl-C must not cut the cleaning up short
    stop_step
    if [[ $opened ]]; then "$exit_command" || true; fi
    exit "$1"
}

# The step that is running: the ID of its session and of its first process, or empty.
step=

# start_step COMMAND…: runs it in the background, in a session of its own: a Ctrl-C reaches it only through this
# script, and all its descendants can be found. It is told to end even if this script is killed.
start_step() {
    setsid env --default-signal=INT,QUIT setpriv --pdeathsig TERM -- "$@" 9>&- &
    step=$!
}

# run_step COMMAND…: runs it to its end and returns its exit code; nothing it started outlives it.
run_step() {
    local code=0
    start_step "$@"
    wait "$step" || code=$?
    stop_step
    return "$code"
}

# Ends what is left of the step's session: TERM, and after 30 s KILL.
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

# session_processes SESSION: the IDs of its processes, without zombies (proc(5): the name may hold spaces and brackets).
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
