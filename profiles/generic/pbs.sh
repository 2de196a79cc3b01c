#!/bin/sh
# PBS Pro and OpenPBS for Snakemake: submit THREADS MEM_MB MINUTES GPUS [qsub's options] SCRIPT, or status JOB.
# PBS forgets a job that has ended, unless its history is switched on: so each job writes down how it ended.
set -eu
logs=$PWD/.snakemake/pbs_logs
verb=$1
shift
case $verb in
submit)
    threads=$1 mem=$2 minutes=$3 gpus=$4
    shift 4
    for script; do :; done # the last one
    options=$(($# - 1))
    while [ "$options" -gt 0 ]; do
        set -- "$@" "$1"
        shift
        options=$((options - 1))
    done
    shift # what is left are the options
    chunk="select=1:ncpus=$threads:mem=${mem}mb"
    [ "$gpus" -eq 0 ] || chunk="$chunk:ngpus=$gpus"
    mkdir -p "$logs"
    WAFERBENCH_PBS_LOGS=$logs WAFERBENCH_GPUS=$gpus
    export WAFERBENCH_PBS_LOGS WAFERBENCH_GPUS
    # shellcheck disable=SC2016 # the job fills these in
    sed '1a trap '\''echo $? > "$WAFERBENCH_PBS_LOGS/$PBS_JOBID.ended"'\'' EXIT' "$script" |
        qsub -N waferbench -l "$chunk" -l "walltime=$((minutes * 60))" -r y -j oe -o "$logs/" -V "$@"
    ;;
status)
    said=$(qstat -f "$1" 2>&1 || true)
    case $said in
    *"job_state = F"* | *"job_state = C"* | *"Unknown Job"* | *"has finished"*)
        [ -e "$logs/$1.ended" ] || sleep 5 # a shared file system may show it later
        case $(cat "$logs/$1.ended" 2>/dev/null) in
        0) echo success ;;
        *) echo failed ;; # or stopped without a last word: it is sent again, and finished outputs stay
        esac
        ;;
    *) echo running ;;
    esac
    ;;
esac
