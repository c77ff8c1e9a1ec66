/* A stand-in for NVIDIA's libnvidia-ml.so.1: the functions that DueBy calls, with NVML's layouts and return codes.

   Two GPUs: 0 has everything; 1 is in MIG mode, of which a container may ask nothing, and has one slice, the third of
   seven: a slice has no utilisation, power, energy, clocks of its own.
   GPU 0 is lost once the file named by NVML_STANDIN_LOST is there, and found nowhere from then on, as after an Xid 79.
   NVML_STANDIN_INIT is what NVML answers when it is started; with NVML_STANDIN_UNIFIED GPU 0 shares the host's memory.
   Built with -DOLD_DRIVER, it lacks a function, as a driver from before it does. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum {
    NVML_SUCCESS = 0, NVML_ERROR_UNINITIALIZED = 1, NVML_ERROR_INVALID_ARGUMENT = 2, NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6, NVML_ERROR_INSUFFICIENT_SIZE = 7, NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15
} nvmlReturn_t;
typedef struct nvmlDevice_st { int index; const char *uuid, *name; unsigned long long memory; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned long long bar1Total, bar1Free, bar1Used; } nvmlBAR1Memory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned int pid; unsigned long long usedGpuMemory; unsigned int gpuInstanceId, computeInstanceId; } nvmlProcessInfo_t;

#define GIB (1024ULL * 1024 * 1024)
static struct nvmlDevice_st devices[] = {
    {0, "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "NVIDIA A100-SXM4-40GB", 40 * GIB},
    {1, "GPU-0b1f7e52-4c53-2c1a-8d16-7a4f3b9a6c21", "NVIDIA A100-SXM4-40GB", 40 * GIB},
    {2, "MIG-3f0a3c5e-6c1b-5f0e-9f43-1b0c6a1f7d10", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5 * GIB},
};
#define COUNT 2
#define PARENT 1
#define SLICE 2
#define MIG_PLACE 2
#define MIG_PLACES 7
static int started = 0;

static int is_lost(nvmlDevice_t device) {
    const char *file = getenv("NVML_STANDIN_LOST");
    return device->index == 0 && file && access(file, F_OK) == 0;
}
#define REQUIRE(device) \
    if (!started) return NVML_ERROR_UNINITIALIZED; \
    if (!(device)) return NVML_ERROR_INVALID_ARGUMENT; \
    if (is_lost(device)) return NVML_ERROR_GPU_IS_LOST
#define REQUIRE_USABLE(device) \
    REQUIRE(device); \
    if ((device)->index == PARENT) return NVML_ERROR_NO_PERMISSION
#define REQUIRE_WHOLE(device) \
    REQUIRE_USABLE(device); \
    if ((device)->index == SLICE) return NVML_ERROR_NOT_SUPPORTED

static nvmlReturn_t text(char *to, unsigned int length, const char *from) {
    if (strlen(from) + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(to, from);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (getenv("NVML_STANDIN_NO_DRIVER")) return NVML_ERROR_DRIVER_NOT_LOADED;
    if (getenv("NVML_STANDIN_INIT")) return (nvmlReturn_t)atoi(getenv("NVML_STANDIN_INIT"));
    started++;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) {
    if (!started) return NVML_ERROR_UNINITIALIZED;
    started--;
    return NVML_SUCCESS;
}
const char *nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
    case NVML_SUCCESS: return "The operation was successful";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}
nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return started ? text(version, length, "570.86.15") : NVML_ERROR_UNINITIALIZED;
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!started) return NVML_ERROR_UNINITIALIZED;
    *count = COUNT;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (!started) return NVML_ERROR_UNINITIALIZED;
    if (index >= COUNT) return NVML_ERROR_INVALID_ARGUMENT;
    if (is_lost(&devices[index])) return NVML_ERROR_GPU_IS_LOST;
    *device = &devices[index];
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    if (!started) return NVML_ERROR_UNINITIALIZED;
    for (int i = 0; i <= SLICE; i++)
        if (strcmp(devices[i].uuid, uuid) == 0) {
            if (is_lost(&devices[i])) return NVML_ERROR_GPU_IS_LOST;
            *device = &devices[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_FOUND;
}
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    REQUIRE(device);
    if (device->index != PARENT) return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = 1;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    REQUIRE(device);
    *count = device->index == PARENT ? MIG_PLACES : 0;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *slice) {
    REQUIRE(device);
    if (device->index != PARENT || index != MIG_PLACE) return NVML_ERROR_NOT_FOUND;
    *slice = &devices[SLICE];
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    REQUIRE(device);
    return text(uuid, length, device->uuid);
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    REQUIRE(device);
    return text(name, length, device->name);
}
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    REQUIRE_USABLE(device);
    if (device->index == 0 && getenv("NVML_STANDIN_UNIFIED")) return NVML_ERROR_NOT_SUPPORTED;
    *memory = (nvmlMemory_t){.total = device->memory, .free = device->memory - 3 * GIB, .used = 3 * GIB};
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory) {
    REQUIRE_USABLE(device);
    *memory = (nvmlBAR1Memory_t){.bar1Total = 64 * GIB, .bar1Free = 63 * GIB, .bar1Used = GIB};
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    REQUIRE_WHOLE(device);
    *utilization = (nvmlUtilization_t){.gpu = 97, .memory = 41};
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *degrees) {
    REQUIRE_WHOLE(device);
    if (sensor != 0) return NVML_ERROR_INVALID_ARGUMENT;
    *degrees = 61;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    REQUIRE_WHOLE(device);
    *milliwatts = 312500;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *milliwatts) {
    REQUIRE_WHOLE(device);
    *milliwatts = 400000;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int type, unsigned int *mhz) {
    REQUIRE_WHOLE(device);
    if (type != 1) return NVML_ERROR_INVALID_ARGUMENT;
    *mhz = 1410;
    return NVML_SUCCESS;
}
#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules) {
    REQUIRE_WHOLE(device);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoules = (unsigned long long)(312500.0 * (now.tv_sec + 1e-9 * now.tv_nsec));
    return NVML_SUCCESS;
}
#endif
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned int *mhz) {
    REQUIRE_WHOLE(device);
    if (type != 1 && type != 2) return NVML_ERROR_INVALID_ARGUMENT;
    *mhz = type == 1 ? 1410 : 1215;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
    REQUIRE_WHOLE(device);
    *reasons = 0x4 | 0x20; /* the power limit, and the driver's thermal one */
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *found) {
    REQUIRE_USABLE(device);
    unsigned int room = *count, running = device->index == 0;
    *count = running;
    if (running > room) return NVML_ERROR_INSUFFICIENT_SIZE;
    if (running) found[0] = (nvmlProcessInfo_t){.pid = 4711, .usedGpuMemory = 3 * GIB, .gpuInstanceId = ~0u, .computeInstanceId = ~0u};
    return NVML_SUCCESS;
}
