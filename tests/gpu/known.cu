// Asks a device for things whose number and sizes are known. usage: known
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

static const size_t MIB = 1 << 20;

__global__ void nothing() {}

static void check(cudaError_t ret) {
    if (ret != cudaSuccess) {
        printf("%s\n", cudaGetErrorString(ret));
        exit(1);
    }
}

int main() {
    char *device, *pinned, *pageable = (char *) malloc(3 * MIB);
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    check(cudaSetDevice(0));
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    check(cudaMalloc(&device, 64 * MIB));
    check(cudaMallocHost(&pinned, MIB));
    for (int i = 0; i < 10; i++) {
        check(cudaMemcpyAsync(device, pinned, MIB, cudaMemcpyHostToDevice, stream));
    }
    for (int i = 0; i < 5; i++) {
        check(cudaMemcpyAsync(device, pageable, 3 * MIB, cudaMemcpyHostToDevice, stream));
    }
    for (int i = 0; i < 4; i++) {
        check(cudaMemcpyAsync(pinned, device, 1000, cudaMemcpyDeviceToHost, stream));
        check(cudaStreamSynchronize(stream));
    }
    for (int i = 0; i < 3; i++) {
        check(cudaMemcpyAsync(device + 32 * MIB, device, 2 * MIB, cudaMemcpyDeviceToDevice, stream));
    }
    for (int i = 0; i < 123; i++) {
        nothing<<<1, 1, 0, stream>>>();
    }
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < 7; i++) {
        nothing<<<1, 1, 0, stream>>>();
    }
    check(cudaMemcpyAsync(device + 32 * MIB, device, 512, cudaMemcpyDeviceToDevice, stream));
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&executable, graph, 0));
    for (int i = 0; i < 20; i++) {
        check(cudaGraphLaunch(executable, stream));
    }
    check(cudaDeviceSynchronize());
    void * none = nullptr;
    printf("too large: %d\n", (int) cudaMalloc(&none, (size_t) 1 << 50));
    check(cudaFree(device));
    check(cudaFreeHost(pinned));
    return 0;
}
