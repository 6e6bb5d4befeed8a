// A library of linear algebra that launches kernels itself, as cuBLAS does.
typedef struct {
    unsigned x, y, z;
} dim3;
int cudaLaunchKernel(const void *, dim3, dim3, void **, unsigned long, void *);
int cublasGemmEx(void * handle);
int cublasGemmEx(void * handle) {
    const dim3 one = {1, 1, 1};
    return cudaLaunchKernel(handle, one, one, 0, 0, 0) |
           cudaLaunchKernel(handle, one, one, 0, 0, 0);
}
