// Multiplies three times by a library of linear algebra.
int cublasGemmEx(void *);
int main(void) {
    return cublasGemmEx(0) | cublasGemmEx(0) | cublasGemmEx(0);
}
