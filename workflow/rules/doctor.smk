# What may keep a study from running, said before it runs.


rule doctor:
    log:
        f"{STUDY}/doctor.txt",
    localrule: True
    resources:
        mem_mb=2000,
    run:
        print(checked(visit, CFG, pretrained_networks(), memory_of_rules(), Path(log[0])))
