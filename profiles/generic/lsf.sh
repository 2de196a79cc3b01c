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
    bsub -n "$threads" -R "span[hosts=1] rusage[mem=${mem}MB]" -M "${mem}MB" -W "$minutes" -r \
        -o ".snakemake/lsf_logs/%J.log" "$@" | sed -n 's/^Job <\([0-9]*\)>.*/\1/p'
    ;;
status)
    case $(bjobs -noheader -o stat "$1") in
    DONE) echo success ;;
    EXIT | ZOMBI) echo failed ;;
    *) echo running ;;
    esac
    ;;
esac
