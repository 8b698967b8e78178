/* Times short-lived commands. For each round every command runs once, in turn, so that a busy moment of the
 * machine falls on all of them alike.
 *
 *   spawn [-b SHELL] RUNS LABEL CMD ARG.. [-- LABEL CMD ARG..]..   one line each: label, min ms, median ms, peak RSS KB
 *   spawn -p COUNT LABEL CMD ARG..                                 COUNT at once: label, ms until the last one ended
 *
 * -b runs a shell command before each timed run, outside of the clock. The commands' stdout goes to /dev/null; a
 * command that does not exit 0 ends the measurement with 1.
 *
 * Link it statically: a child's peak RSS starts at that of the process that spawned it, so this program is the floor. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COMMANDS 16

struct command {
    char *label, **argv;
    double *ms;
    long peak_kb;
};

extern char **environ;
static posix_spawn_file_actions_t to_null;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what, const char *label) {
    fprintf(stderr, "spawn: %s: %s\n", label, what);
    exit(1);
}

static pid_t start(struct command *c) {
    pid_t pid;
    /* glibc and musl implement this with vfork semantics: no page tables are copied. */
    if (posix_spawnp(&pid, c->argv[0], &to_null, NULL, c->argv, environ) != 0) die("cannot start", c->label);
    return pid;
}

static void finish(struct command *c, pid_t pid) {
    int status;
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) < 0) die("cannot wait", c->label);
    if (status != 0) die("did not exit 0", c->label);
    if (usage.ru_maxrss > c->peak_kb) c->peak_kb = usage.ru_maxrss;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const char *before = NULL;
    int at_once = 0, opt;
    while ((opt = getopt(argc, argv, "+b:p")) != -1) {
        if (opt == 'b') before = optarg;
        else if (opt == 'p') at_once = 1;
        else return 2;
    }
    int runs = optind < argc ? atoi(argv[optind]) : 0, count = 0;
    struct command commands[MAX_COMMANDS] = {0};
    for (int i = optind + 1; i < argc; i++) {
        if (count == MAX_COMMANDS || i + 1 >= argc) return 2;
        struct command *c = &commands[count++];
        c->label = argv[i];
        c->argv = &argv[i + 1];
        c->ms = calloc(runs, sizeof *c->ms);
        while (i < argc && strcmp(argv[i], "--") != 0) i++;
        if (i < argc) argv[i] = NULL;
    }
    if (runs < 1 || count < 1) return 2;
    posix_spawn_file_actions_init(&to_null);
    posix_spawn_file_actions_addopen(&to_null, 1, "/dev/null", O_WRONLY, 0);

    if (at_once) {
        struct command *c = &commands[0];
        pid_t *pids = calloc(runs, sizeof *pids);
        double began = now_ms();
        for (int i = 0; i < runs; i++) pids[i] = start(c);
        for (int i = 0; i < runs; i++) finish(c, pids[i]);
        printf("%s\t%.1f\n", c->label, now_ms() - began);
        return 0;
    }
    for (int run = 0; run < runs; run++)
        for (int i = 0; i < count; i++) {
            if (before && system(before) != 0) die("the -b command failed", before);
            double began = now_ms();
            finish(&commands[i], start(&commands[i]));
            commands[i].ms[run] = now_ms() - began;
        }
    for (int i = 0; i < count; i++) {
        qsort(commands[i].ms, runs, sizeof(double), by_value);
        printf("%s\t%.3f\t%.3f\t%ld\n", commands[i].label, commands[i].ms[0], commands[i].ms[runs / 2], commands[i].peak_kb);
    }
    return 0;
}
