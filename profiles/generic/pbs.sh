#!/bin/sh
# PBS Pro and OpenPBS for Snakemake: submit THREADS MEM_MB MINUTES GPUS [qsub's options] SCRIPT, or status JOB.
set -eu
verb=$1
shift
case $verb in
submit)
    threads=$1 mem=$2 minutes=$3 gpus=$4
    shift 4
    chunk="select=1:ncpus=$threads:mem=${mem}mb"
    [ "$gpus" -eq 0 ] || chunk="$chunk:ngpus=$gpus"
    mkdir -p .snakemake/pbs_logs
    qsub -l "$chunk" -l "walltime=$((minutes * 60))" -r y -j oe -o "$PWD/.snakemake/pbs_logs/" -V "$@"
    ;;
status)
    said=$(qstat -xf "$1" 2>&1 || true)
    case $said in
    *"job_state = F"*"Exit_status = 0"* | *"Exit_status = 0"*"job_state = F"*) echo success ;;
    *"job_state = F"* | *"Unknown Job"*) echo failed ;; # forgotten by PBS: it is sent again, and finished outputs stay
    *) echo running ;;
    esac
    ;;
esac
