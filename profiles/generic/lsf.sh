#!/bin/sh
# LSF for Snakemake: submit THREADS MEM_MB MINUTES GPUS [bsub's options] SCRIPT, or status JOB.
set -eu
verb=$1
shift
case $verb in
submit)
    threads=$1 mem=$2 minutes=$3 gpus=$4
    shift 4
    [ "$gpus" -eq 0 ] || set -- -gpu "num=$gpus" "$@"
    mkdir -p .snakemake/lsf_logs
    WAFERBENCH_GPUS=$gpus # LSF hands a job the environment of its submission
    export WAFERBENCH_GPUS
    said=$(bsub -n "$threads" -R "span[hosts=1] rusage[mem=${mem}MB]" -M "${mem}MB" -W "$minutes" -r \
        -o ".snakemake/lsf_logs/%J.log" "$@") # a refusal ends this script, and Snakemake says so
    number=$(printf '%s\n' "$said" | sed -n 's/^Job <\([0-9]*\)>.*/\1/p')
    [ -n "$number" ] || { echo "no job number in: $said" >&2; exit 1; }
    echo "$number"
    ;;
status)
    case $(bjobs -noheader -o stat "$1" 2>&1 || true) in
    DONE) echo success ;;
    EXIT | ZOMBI | *"is not found"*) echo failed ;; # forgotten by LSF: it is sent again, and finished outputs stay
    *) echo running ;;
    esac
    ;;
esac
